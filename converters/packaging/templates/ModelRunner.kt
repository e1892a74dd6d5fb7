// Runs $file. Made by `edgekit package`.
//
// Put the model into app/src/main/assets, and this file where its package is. In build.gradle.kts
// of the app:
//
//   android { androidResources { noCompress += "tflite" } }  // so that it can be mapped
//   dependencies { implementation("com.google.ai.edge.litert:litert:$release") }
//
// The model was tried with CompiledModel of the Python package of that release, on a computer; this
// file was not compiled.
package com.example.model

import android.content.Context
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
$imports
/** Not for several threads at once. */
class ModelRunner(context: Context) : AutoCloseable {
    private val model = CompiledModel.create(
        context.assets, "$asset", CompiledModel.Options(Accelerator.CPU)
    )
    private val inputs = model.createInputBuffers()
    private val outputs = model.createOutputBuffers()
$result
    /**
$document
     */
    fun run($parameters): $returns {
$write
        model.run(inputs, outputs)
$read
    }

    override fun close() {
        (inputs + outputs).forEach { it.close() }
        model.close()
    }
$helpers}
