/** The paths of OpenAI's API, and those that vLLM, SGLang, TGI and llama.cpp have beside it. */
import type { Target } from '../../core/call.ts'
import { decoded } from '../../core/path.ts'
import { isDeployment, management } from '../management.ts'

/** What a call whose body names the model is for. */
export type OperationName =
  | 'embeddings'
  | 'rerank'
  | 'score'
  | 'classify'
  | 'pooling'
  | 'tokenize'
  | 'detokenize'
  | 'chat'
  | 'completions'
  | 'responses'

/** The ends of paths, behind `/v1`. */
const OPERATIONS: readonly (readonly [string, OperationName])[] = [
  ['/embeddings', 'embeddings'],
  ['/rerank', 'rerank'],
  ['/score', 'score'],
  ['/classify', 'classify'],
  ['/pooling', 'pooling'],
  ['/tokenize', 'tokenize'],
  ['/detokenize', 'detokenize'],
  ['/chat/completions', 'chat'],
  ['/completions', 'completions'],
  ['/responses', 'responses'],
]

/** Those that servers have without `/v1` as well. */
const ROOTED = new Set<OperationName>(['rerank', 'score', 'classify', 'pooling', 'tokenize', 'detokenize'])

/** A response may be stored by its server, run tools there, and go on behind its answer: it is not repeated. Its body says whether it may be kept. */
const IMPURE = new Set<OperationName>(['responses'])

/** The targets by path. They are made once, so that a call makes none. */
const TARGETS = new Map<string, Target>(
  OPERATIONS.flatMap(([end, verb]): [string, Target][] => {
    const isPure = !IMPURE.has(verb)
    const target: Target = {
      verb,
      isNamedInBody: true,
      prediction: isPure,
      ...(isPure ? {} : { isKeepable: true }),
    }
    return [[`/v1${end}`, target], ...(ROOTED.has(verb) ? [[end, target] as [string, Target]] : [])]
  }),
)
// Cohere's.
TARGETS.set('/v2/rerank', TARGETS.get('/v1/rerank') as Target)

/** JSON bodies that name a model, and are passed on. Uploads are none: their bodies are forms, and stream. */
const NAMING =
  /^\/v1\/(?:audio\/speech|chat\/completions\/[^/]+|completions\/[^/]+|images\/generations|messages(?:\/[^/]+)?|moderations|responses\/(?:compact|input_tokens)|videos)$/
const FORWARD: Target = { verb: 'forward', prediction: false }
const NAMED_FORWARD: Target = { ...FORWARD, isNamedInBody: true }

const MODELS = /^\/v1\/models(?:\/(.+))?$/
const LIST: Target = { verb: 'models', gathers: true, prediction: false }

const DEPLOY: Target = { verb: 'deploy', prediction: false, deploys: '', manages: true }
const MANAGE: Target = { ...FORWARD, manages: true }

/** What a method and path mean on a route of this dialect, which any path belongs to. */
export function openaiTarget(method: string, path: string): Target {
  const known = isPost(method) ? TARGETS.get(path) : undefined
  if (known) return known
  const models = MODELS.exec(path)
  if (models) return modelsTarget(method, models[1])
  if (isDeployment(method, path)) return DEPLOY
  if (isPost(method) && NAMING.test(path)) return NAMED_FORWARD
  return management(method, path).manages === true ? MANAGE : FORWARD
}

/**
 * For `auto`: the paths of the API that no other server has. A path without `/v1`, such as `/score`, may be of any server, and a
 * list of models of TensorFlow Serving.
 */
export function openaiTargetByPath(method: string, path: string): Target | undefined {
  if (!isPost(method) || !path.startsWith('/v')) return undefined
  return TARGETS.get(path) ?? (NAMING.test(path) ? NAMED_FORWARD : undefined)
}

/** QUERY (RFC 10008) is a safe POST. */
function isPost(method: string): boolean {
  return method === 'POST' || method === 'QUERY'
}

function modelsTarget(method: string, id: string | undefined): Target {
  if (method !== 'GET' && method !== 'HEAD') return MANAGE
  if (id === undefined) return LIST
  const model = decoded(id)
  return model === undefined ? FORWARD : { verb: 'model', model, gathers: true, prediction: false }
}
