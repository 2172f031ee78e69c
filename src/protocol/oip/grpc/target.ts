/** The methods of `inference.GRPCInferenceService`: those of the protocol, and those of Triton's extensions to it. */
import type { Target } from '../../../core/call.ts'

export const SERVICE = '/inference.GRPCInferenceService/'
export const INFER_PATH = `${SERVICE}ModelInfer`

const HEALTH: Target = { verb: 'health', prediction: false, isBodyEmpty: true }
const CONTROL: Target = { verb: 'control', prediction: false }
const MANAGING: Target = { ...CONTROL, manages: true }
/** The body names the model, but not where the requests for inference do. */
const DEPLOYING: Target = { ...MANAGING, deploys: '' }

const METHODS: ReadonlyMap<string, Target> = new Map<string, Target>([
  ['ModelInfer', { verb: 'infer', prediction: true, isNamedInBody: true }],
  ['ModelStreamInfer', { verb: 'infer_stream', prediction: false }],
  ['ServerLive', HEALTH],
  ['ServerReady', HEALTH],
  ['ModelReady', { verb: 'ready', prediction: false, isNamedInBody: true }],
  ['ServerMetadata', { verb: 'metadata', prediction: false, isBodyEmpty: true }],
  ['ModelMetadata', { verb: 'metadata', prediction: false, isNamedInBody: true }],
  ['ModelConfig', { verb: 'config', prediction: false, isNamedInBody: true }],
  ['ModelStatistics', { verb: 'stats', prediction: false, isNamedInBody: true }],
  ['RepositoryIndex', CONTROL],
  ['RepositoryModelLoad', DEPLOYING],
  ['RepositoryModelUnload', DEPLOYING],
  ['SystemSharedMemoryStatus', CONTROL],
  ['CudaSharedMemoryStatus', CONTROL],
])

/** Undefined: not a path of this service. A method that is unknown may change the server, as registering memory does. */
export function grpcTarget(method: string, path: string): Target | undefined {
  if (method !== 'POST' || !path.startsWith(SERVICE)) return undefined
  return METHODS.get(path.slice(SERVICE.length)) ?? MANAGING
}
