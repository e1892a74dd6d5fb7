// Runs $file with LiteRT's InterpreterApi, since $reason.
//
// Put the model into app/src/main/assets, and this file where its package is. In build.gradle.kts
// of the app:
//
//   android { androidResources { noCompress += "tflite" } }  // so that it can be mapped
//   dependencies { implementation("com.google.ai.edge.litert:litert:$interpreter_release") }
//
// LiteRT 2 for Android has no interpreter (github.com/google-ai-edge/LiteRT/issues/4775). The model
// was tried with the interpreter of the Python package ai-edge-litert $release, on a computer; this
// file was not compiled.
package com.example.model

import android.content.Context
import java.io.FileInputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.channels.FileChannel
${imports}import org.tensorflow.lite.InterpreterApi
import org.tensorflow.lite.Tensor

/** Not for several threads at once. */
class ModelRunner(context: Context) : AutoCloseable {
    private val model: InterpreterApi = context.assets.openFd("$asset").use { file ->
        FileInputStream(file.fileDescriptor).use { stream ->
            val mapped = stream.channel.map(
                FileChannel.MapMode.READ_ONLY, file.startOffset, file.declaredLength
            )
            InterpreterApi.create(mapped, InterpreterApi.Options())
        }
    }

    /** Shapes are those of the last run. */
    class Outputs($fields)

    /**
$document
     */
    fun run($parameters): Outputs {
$resize
        model.runForMultipleInputsOutputs(arrayOf<Any>($feed), mutableMapOf<Int, Any>())
        return Outputs(
$read
        )
    }

    override fun close() = model.close()

    private fun elements(shape: IntArray) = shape.fold(1) { size, side -> size * side }

    private fun direct(bytes: Int): ByteBuffer =
        ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder())
$helpers}
