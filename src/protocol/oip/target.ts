/** The paths of the Open Inference Protocol (KServe V2) and of Triton's extensions to it. */
import type { Target } from '../../core/call.ts'
import { decoded } from '../../core/path.ts'
import { management } from '../management.ts'

const MODEL = /^\/v2\/models\/([^/]+)(?:\/versions\/([^/]+))?(?:\/([a-z_]+|trace\/setting))?$/
const SERVER = /^\/v2(?:\/(health\/(?:live|ready)|models|logging|trace\/setting))?$/
const DEPLOY = /^\/v2\/repository\/models\/([^/]+)\/(?:load|unload)$/
const CONTROL = /^\/v2\/(?:repository|systemsharedmemory|cudasharedmemory)(?:\/[^/]+)*$/

/** Requests about a model, by the end of the path; of these and `infer`, only `infer` is cached. */
const READS = new Set(['ready', 'config', 'stats', 'trace/setting'])
const WRITES = new Set(['infer', 'generate', 'generate_stream', 'infer_stream', 'explain', 'trace/setting'])

/** The target of a method and path in this dialect; only names in a path may be escaped. */
export function oipTarget(method: string, path: string): Target | undefined {
  const model = MODEL.exec(path)
  if (model) return modelTarget(method, model)
  const deployed = method === 'POST' ? DEPLOY.exec(path) : null
  if (deployed) {
    const deploys = decoded(deployed[1] as string) ?? ''
    return { verb: 'control', prediction: false, deploys, manages: true }
  }
  if (CONTROL.test(path)) return control(method, path)
  const server = SERVER.exec(path)
  if (!server) return undefined
  const about = server[1]
  if (about === 'logging' || about === 'trace/setting') return control(method, path)
  if (method !== 'GET' && method !== 'HEAD') return undefined
  return { verb: about?.startsWith('health/') ? 'health' : 'metadata', prediction: false }
}

function control(method: string, path: string): Target {
  return { verb: 'control', prediction: false, ...management(method, path) }
}

function modelTarget(method: string, found: RegExpExecArray): Target | undefined {
  const verb = found[3]
  const [model, version] = [decoded(found[1] as string), decoded(found[2] ?? '')]
  if (model === undefined || version === undefined) return undefined
  const place = { model, ...(version === '' ? {} : { version }) }
  if (method === 'GET' || method === 'HEAD') {
    if (verb !== undefined && !READS.has(verb)) return undefined
    return { ...place, verb: verb ?? 'metadata', prediction: false }
  }
  // QUERY (RFC 10008) is a safe POST; here only predictions have it.
  if (method === 'QUERY') return verb === 'infer' ? { ...place, verb, prediction: true } : undefined
  if (method !== 'POST' || verb === undefined || !WRITES.has(verb)) return undefined
  const manages = verb === 'trace/setting' ? { manages: true } : {}
  return { ...place, verb, prediction: verb === 'infer', ...manages }
}
