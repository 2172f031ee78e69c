/** The methods of TensorFlow Serving's gRPC services (tensorflow_serving/apis/*_service.proto). */
import type { Target } from '../../../core/call.ts'

const SERVING = '/tensorflow.serving.'

const prediction = (verb: string): Target => ({ verb, prediction: true, isNamedInBody: true })
/** Of one model, whose name decides the route as that of a prediction does. */
const about = (verb: string): Target => ({ verb, prediction: false, isNamedInBody: true })

const METHODS: ReadonlyMap<string, Target> = new Map([
  ['PredictionService/Predict', prediction('predict')],
  ['PredictionService/Classify', prediction('classify')],
  ['PredictionService/Regress', prediction('regress')],
  ['PredictionService/MultiInference', prediction('multi-inference')],
  ['PredictionService/GetModelMetadata', about('metadata')],
  ['ModelService/GetModelStatus', about('status')],
  // It names the models that are to be served from now on, so any may be loaded or unloaded.
  [
    'ModelService/HandleReloadConfigRequest',
    { verb: 'control', prediction: false, deploys: '', manages: true },
  ],
  ['SessionService/SessionRun', about('forward')],
])

/** What no release of the server has yet may be a stream, so its body is not waited for. */
const UNKNOWN: Target = { verb: 'forward', prediction: false }

/** The target of a method and path of gRPC; undefined: it is none of TensorFlow Serving. */
export function grpcTarget(method: string, path: string): Target | undefined {
  if (method !== 'POST' || !path.startsWith(SERVING)) return undefined
  return METHODS.get(path.slice(SERVING.length)) ?? UNKNOWN
}
