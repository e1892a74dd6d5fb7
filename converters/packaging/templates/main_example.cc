// Runs $name once in TensorFlow Lite Micro, on the golden input. A start for firmware: it compiles
// inside a tree of github.com/tensorflow/tflite-micro, or a vendor's package of it, and not alone.
#include <cstdint>
#include <cstring>

#include "golden.h"
#include "model_data.h"
#include "model_settings.h"
#include "op_resolver.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_log.h"
#include "tensorflow/lite/micro/system_setup.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace {
alignas(16) uint8_t tensor_arena[${name}_kTensorArenaSize];
}  // namespace

int main() {
  tflite::InitializeTarget();
  const tflite::Model* model = tflite::GetModel(g_$name);
  if (model->version() != TFLITE_SCHEMA_VERSION) return 1;
  static $name::OpResolver resolver;
  if ($name::RegisterOps(resolver) != kTfLiteOk) return 1;
$interpreter
  if (interpreter.AllocateTensors() != kTfLiteOk) return 1;
  MicroPrintf("arena: %d of %d bytes used", static_cast<int>(interpreter.arena_used_bytes()),
              static_cast<int>(${name}_kTensorArenaSize));
$inputs
  if (interpreter.Invoke() != kTfLiteOk) return 1;
  const int wrong = ${name}_golden_check($outputs);
  MicroPrintf("%d values depart from the golden output", wrong);
  return wrong == 0 ? 0 : 1;
}
