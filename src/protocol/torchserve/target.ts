/** The paths of TorchServe: predictions and explanations, and what is passed on as it is. */
import type { Target } from '../../core/call.ts'
import { decoded } from '../../core/path.ts'
import { management } from '../management.ts'

/** What stands behind the version goes to the model's own code, as `url_path`. */
const INFERENCE = /^\/(predictions|explanations)\/([^/]+)(?:\/([^/]+)(\/.*)?)?$/
const MANAGED = /^\/models(?:\/([^/]+)(?:\/[^/]+)?(?:\/set-default)?)?$/
const OTHER =
  /^\/(?:(?:ping|api-description|invocations|metrics)?$|(?:models|workflows)(?:\/|$)|(?:predictions|explanations|wfpredict)\/)/

/** What a method and path mean in this dialect; what is escaped in the path are names alone. */
export function torchserveTarget(method: string, path: string): Target | undefined {
  const inference = inferenceTarget(method, path)
  if (inference) return inference
  const deploys = managedModel(method, path)
  if (deploys !== undefined) return { verb: 'control', prediction: false, deploys, manages: true }
  if (!OTHER.test(path)) return undefined
  return { verb: 'forward', prediction: false, ...management(method, path) }
}

/** Of the paths that no other server has, which are all that tell the dialect where it is not named. */
export function inferenceTarget(method: string, path: string): Target | undefined {
  const found = INFERENCE.exec(path)
  if (!found) return undefined
  const [model, version] = [decoded(found[2] as string), decoded(found[3] ?? '')]
  if (model === undefined || version === undefined) return undefined
  return {
    verb: found[1] === 'predictions' ? 'predict' : 'explain',
    model,
    ...(version === '' ? {} : { version }),
    // TorchServe takes any method, and what GET asks for is in its query. QUERY (RFC 10008) is POST's safe twin.
    prediction: (method === 'POST' || method === 'QUERY') && found[4] === undefined,
  }
}

/**
 * The model that a call of the management API registers, scales or removes, or whose default version it chooses; the empty
 * string: one that the path does not name. Undefined: it changes nothing. `POST /models/M/invoke` is SageMaker's prediction.
 */
export function managedModel(method: string, path: string): string | undefined {
  if (method !== 'POST' && method !== 'PUT' && method !== 'DELETE') return undefined
  const found = MANAGED.exec(path)
  if (!found || (method === 'POST' && found[1] !== undefined)) return undefined
  return decoded(found[1] ?? '') ?? ''
}
