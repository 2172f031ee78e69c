/** Routes of the model server: maps a method and a request target to a route. */
import { ModelError } from './error.ts'

export interface ModelRoute {
  readonly name:
    | 'live'
    | 'ready'
    | 'server'
    | 'list'
    | 'status'
    | 'metadata'
    | 'predict'
    | 'embed'
    | 'model'
    | 'modelReady'
    | 'infer'
    | 'load'
  /** Empty where the path names no model. */
  readonly model: string
  readonly version?: string
}

/** In order; the groups of a pattern are model and version. */
const ROUTES: readonly (readonly [method: 'GET' | 'POST', name: ModelRoute['name'], pattern: RegExp])[] = [
  ['POST', 'predict', /^\/v1\/models\/([^/:]+)(?:\/versions\/(\d+))?:predict$/],
  ['POST', 'infer', /^\/v2\/models\/([^/]+)(?:\/versions\/(\d+))?\/infer$/],
  ['POST', 'embed', /^\/v1\/embeddings$/],
  ['GET', 'live', /^\/v2\/health\/live$/],
  ['GET', 'ready', /^\/v2\/health\/ready$/],
  ['GET', 'load', /^\/probe$/],
  ['GET', 'server', /^\/v2\/?$/],
  ['GET', 'list', /^\/v[12]\/models\/?$/],
  ['GET', 'status', /^\/v1\/models\/([^/:]+)(?:\/versions\/(\d+))?$/],
  ['GET', 'metadata', /^\/v1\/models\/([^/:]+)(?:\/versions\/(\d+))?\/metadata$/],
  ['GET', 'modelReady', /^\/v2\/models\/([^/]+)(?:\/versions\/(\d+))?\/ready$/],
  ['GET', 'model', /^\/v2\/models\/([^/]+)(?:\/versions\/(\d+))?$/],
]

/**
 * Matches a route; HEAD is treated as GET. Throws 404 for an unknown path, 405 (its `cause` the method) for a wrong
 * method.
 */
export function matchRoute(method: string, target: string): ModelRoute {
  const path = target.split('?', 1)[0] ?? target
  for (const [wanted, name, pattern] of ROUTES) {
    const found = pattern.exec(path)
    if (!found) continue
    if (method !== wanted && !(method === 'HEAD' && wanted === 'GET')) {
      throw new ModelError(405, `${method} is not for ${path}: use ${wanted}`, { cause: wanted })
    }
    const [, model = '', version] = found
    return { name, model: decode(model), ...(version === undefined ? {} : { version }) }
  }
  throw new ModelError(404, `nothing is served at ${path}: ask /v2 or /v1/models`)
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch (cause) {
    throw new ModelError(400, `"${segment}" is not percent-encoded UTF-8`, { cause })
  }
}
