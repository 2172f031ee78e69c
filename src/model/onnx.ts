/**
 * The Runtime interface implemented with ONNX Runtime, which no other file imports.
 *
 * One intra-op and one inter-op thread: the server is scaled by processes, and a pool of threads in each would compete
 * for the same cores. `run` computes on the calling thread, although it returns a promise, and so does loading: while a
 * large model is loaded, its process answers nobody.
 */
import type { InferenceSession, Tensor as OnnxTensor } from 'onnxruntime-node'
import { requirePackages } from '../lib/optional-packages.ts'
import { reasonOf } from './error.ts'
import { type Datatype, makeData, type Runtime, type Tensor, type TensorSpec } from './runtime.ts'

const NAMES: Readonly<Record<string, Datatype>> = {
  bool: 'BOOL',
  int8: 'INT8',
  int16: 'INT16',
  int32: 'INT32',
  int64: 'INT64',
  uint8: 'UINT8',
  uint16: 'UINT16',
  uint32: 'UINT32',
  uint64: 'UINT64',
  float32: 'FP32',
  float64: 'FP64',
  string: 'BYTES',
}
const TYPES = new Map(Object.entries(NAMES).map(([type, datatype]) => [datatype, type as OnnxTensor.Type]))

/**
 * Loaded on first use: the library is 46 MB, and only the model server's process needs it. Its Linux builds send telemetry to
 * their maker every few seconds and keep a database of it in the user's cache, unless the environment tells them not to; a
 * server must reach no host that its operator has not named.
 */
function library() {
  requirePackages('onnx')
  process.env['ORT_DISABLE_TELEMETRY'] ??= '1'
  return import('onnxruntime-node')
}

function specOf(value: InferenceSession.ValueMetadata): TensorSpec {
  if (!value.isTensor) throw new Error(`"${value.name}" is not a tensor: export the model without ZipMap`)
  const datatype = NAMES[value.type]
  if (!datatype) {
    throw new Error(`"${value.name}" is ${value.type}, which has no JSON form: export it as float32`)
  }
  return {
    name: value.name,
    datatype,
    shape: value.shape.map((n) => (typeof n === 'number' && n >= 0 ? n : -1)),
  }
}

export const onnx: Runtime = {
  name: 'onnxruntime',
  extension: '.onnx',
  async load(bytes) {
    const { InferenceSession, Tensor } = await library()
    const session = await InferenceSession.create(bytes, {
      executionProviders: ['cpu'],
      executionMode: 'sequential',
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      logSeverityLevel: 3,
    }).catch((error: unknown) => {
      throw new Error(`not a model ONNX Runtime can load: ${reasonOf(error).split('\n')[0]}`, {
        cause: error,
      })
    })
    const inputs = session.inputMetadata.map(specOf)
    const outputs = session.outputMetadata.map(specOf)
    return {
      inputs,
      outputs,
      async run(given) {
        const feeds: Record<string, OnnxTensor> = {}
        for (const [name, { datatype, shape, data }] of given) {
          feeds[name] = new Tensor(TYPES.get(datatype) ?? 'float32', data, shape)
        }
        const found = await session.run(feeds)
        const answers = new Map<string, Tensor>()
        for (const { name, datatype } of outputs) answers.set(name, tensorOf(datatype, found[name]))
        return answers
      },
      release: () => session.release(),
    }
  },
}

function tensorOf(datatype: Datatype, found: OnnxTensor | undefined): Tensor {
  if (!found) throw new Error('the model left out one of its outputs')
  // ONNX Runtime returns an optional output of length 0 without data.
  const data = found.size === 0 ? makeData(datatype, 0) : found.data
  return { datatype, shape: found.dims, data }
}
