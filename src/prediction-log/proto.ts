/**
 * `tensorflow.serving.PredictionLog` as bytes. The messages are those of TensorFlow Serving's `prediction_log.proto` and of what
 * it imports, without the fields that nothing here fills.
 */
import protobuf from 'protobufjs'
import { DATA_TYPES, type LoggedTensor, type LoggedTensors } from './tensor.ts'

export interface ModelSpec {
  readonly name: string
  readonly version?: number | undefined
  readonly versionLabel?: string | undefined
  readonly signatureName?: string | undefined
}

export interface LoggedPrediction {
  readonly model: ModelSpec
  /** The version that has answered may be another than the one that was asked for. */
  readonly answeredBy: ModelSpec
  readonly inputs: LoggedTensors
  readonly outputs: LoggedTensors
  /** Whole seconds since the Unix epoch. */
  readonly seconds: number
}

export function encodePredictionLog({
  model,
  answeredBy,
  inputs,
  outputs,
  seconds,
}: LoggedPrediction): Uint8Array {
  const request = { modelSpec: spec(model), inputs: tensors(inputs) }
  const response = { modelSpec: spec(answeredBy), outputs: tensors(outputs) }
  const logMetadata = { modelSpec: spec(answeredBy), timestampSecs: seconds }
  return PREDICTION_LOG.encode({ logMetadata, predictLog: { request, response } }).finish()
}

/** As a message of its own. */
export function encodeSpec(model: ModelSpec): Uint8Array {
  return MODEL_SPEC.encode(spec(model)).finish()
}

function spec({ name, version, versionLabel, signatureName }: ModelSpec) {
  return {
    name,
    ...(version === undefined ? {} : { version: { value: version } }),
    ...(versionLabel === undefined ? {} : { versionLabel }),
    ...(signatureName === undefined ? {} : { signatureName }),
  }
}

function tensors(named: LoggedTensors) {
  return Object.fromEntries([...named].map(([name, tensor]) => [name, message(tensor)]))
}

function message({ type, shape, content }: LoggedTensor) {
  const values = content instanceof Uint8Array ? { tensorContent: content } : { stringVal: content }
  return { dtype: DATA_TYPES[type], tensorShape: { dim: shape.map((size) => ({ size })) }, ...values }
}

const MESSAGES = {
  Dim: { fields: { size: { type: 'int64', id: 1 } } },
  TensorShape: { fields: { dim: { rule: 'repeated', type: 'Dim', id: 2 } } },
  Tensor: {
    fields: {
      // An enum, which is an int32 on the wire.
      dtype: { type: 'int32', id: 1 },
      tensorShape: { type: 'TensorShape', id: 2 },
      tensorContent: { type: 'bytes', id: 4 },
      stringVal: { rule: 'repeated', type: 'bytes', id: 8 },
    },
  },
  Int64Value: { fields: { value: { type: 'int64', id: 1 } } },
  ModelSpec: {
    fields: {
      name: { type: 'string', id: 1 },
      version: { type: 'Int64Value', id: 2 },
      signatureName: { type: 'string', id: 3 },
      versionLabel: { type: 'string', id: 4 },
    },
  },
  PredictRequest: {
    fields: {
      modelSpec: { type: 'ModelSpec', id: 1 },
      inputs: { keyType: 'string', type: 'Tensor', id: 2 },
    },
  },
  PredictResponse: {
    fields: {
      outputs: { keyType: 'string', type: 'Tensor', id: 1 },
      modelSpec: { type: 'ModelSpec', id: 2 },
    },
  },
  PredictLog: {
    fields: {
      request: { type: 'PredictRequest', id: 1 },
      response: { type: 'PredictResponse', id: 2 },
    },
  },
  LogMetadata: {
    fields: {
      modelSpec: { type: 'ModelSpec', id: 1 },
      timestampSecs: { type: 'int64', id: 4 },
    },
  },
  PredictionLog: {
    fields: {
      logMetadata: { type: 'LogMetadata', id: 1 },
      predictLog: { type: 'PredictLog', id: 6 },
    },
  },
}

const root = protobuf.Root.fromJSON({ nested: MESSAGES })
const PREDICTION_LOG = root.lookupType('PredictionLog')
const MODEL_SPEC = root.lookupType('ModelSpec')
