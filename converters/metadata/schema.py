"""The tables of TensorFlow Lite metadata, as data.

Source: metadata_schema.fbs 1.5.0 of tensorflow/tflite-support, file identifier M001. A field's
place in its table is its number there; a union takes two, of which the first is its kind.
"""

IDENTIFIER = b"M001"
# Under this name a model keeps the buffer with its metadata.
NAME = "TFLITE_METADATA"
ROOT = "ModelMetadata"

# Kinds of associated files, of process units and of contents, as numbered there.
TENSOR_AXIS_LABELS, TENSOR_VALUE_LABELS = 2, 3
NORMALIZATION_OPTIONS = 1
FEATURE_PROPERTIES, IMAGE_PROPERTIES = 1, 2
RGB = 1

UNIONS = {
    "ContentProperties": (
        "FeatureProperties",
        "ImageProperties",
        "BoundingBoxProperties",
        "AudioProperties",
    ),
    "ProcessUnitOptions": (
        "NormalizationOptions",
        "ScoreCalibrationOptions",
        "ScoreThresholdingOptions",
        "BertTokenizerOptions",
        "SentencePieceTokenizerOptions",
        "RegexTokenizerOptions",
    ),
}

# A kind in brackets is a vector.
TABLES: dict[str, dict[str, str]] = {
    "AssociatedFile": {
        "name": "string",
        "description": "string",
        "type": "int8",
        "locale": "string",
        "version": "string",
    },
    "FeatureProperties": {},
    "ImageSize": {"width": "uint32", "height": "uint32"},
    "ImageProperties": {"color_space": "int8", "default_size": "ImageSize"},
    "AudioProperties": {"sample_rate": "uint32", "channels": "uint32"},
    "BoundingBoxProperties": {"index": "[uint32]", "type": "int8", "coordinate_type": "int8"},
    "ValueRange": {"min": "int32", "max": "int32"},
    "Content": {"content_properties": "ContentProperties", "range": "ValueRange"},
    "NormalizationOptions": {"mean": "[float32]", "std": "[float32]"},
    "ScoreCalibrationOptions": {"score_transformation": "int8", "default_score": "float32"},
    "ScoreThresholdingOptions": {"global_score_threshold": "float32"},
    "BertTokenizerOptions": {"vocab_file": "[AssociatedFile]"},
    "SentencePieceTokenizerOptions": {
        "sentencePiece_model": "[AssociatedFile]",
        "vocab_file": "[AssociatedFile]",
    },
    "RegexTokenizerOptions": {
        "delim_regex_pattern": "string",
        "vocab_file": "[AssociatedFile]",
    },
    "ProcessUnit": {"options": "ProcessUnitOptions"},
    "Stats": {"max": "[float32]", "min": "[float32]"},
    "TensorGroup": {"name": "string", "tensor_names": "[string]"},
    "CustomMetadata": {"name": "string", "data": "[uint8]"},
    "TensorMetadata": {
        "name": "string",
        "description": "string",
        "dimension_names": "[string]",
        "content": "Content",
        "process_units": "[ProcessUnit]",
        "stats": "Stats",
        "associated_files": "[AssociatedFile]",
    },
    "SubGraphMetadata": {
        "name": "string",
        "description": "string",
        "input_tensor_metadata": "[TensorMetadata]",
        "output_tensor_metadata": "[TensorMetadata]",
        "associated_files": "[AssociatedFile]",
        "input_process_units": "[ProcessUnit]",
        "output_process_units": "[ProcessUnit]",
        "input_tensor_groups": "[TensorGroup]",
        "output_tensor_groups": "[TensorGroup]",
        "custom_metadata": "[CustomMetadata]",
    },
    "ModelMetadata": {
        "name": "string",
        "description": "string",
        "version": "string",
        "subgraph_metadata": "[SubGraphMetadata]",
        "author": "string",
        "license": "string",
        "associated_files": "[AssociatedFile]",
        "min_parser_version": "string",
    },
}
