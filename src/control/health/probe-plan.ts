/**
 * Which probes to send to a backend, and how to judge its answers. With `auto` the probe depends on the backend's
 * protocol: Open Inference's readiness (over gRPC the health service, if there is one), else the status of a model (TensorFlow Serving, KServe V1), else
 * the health of servers with OpenAI's API or their list of models, else that it accepts connections. The caller remembers which one was answered.
 */
import type { ModelOffer } from '../../core/backend.ts'
import type { ProbeResult } from './probe.ts'

/** `auto`, `tcp`, or a path beginning with `/`, which must answer 2xx. */
export type HealthPath = 'auto' | 'tcp' | `/${string}`

export interface ProbeQuestion {
  readonly kind: 'v2' | 'v1' | 'health' | 'list' | 'path' | 'tcp'
  readonly path: string | undefined
}

export type ProbeVerdict =
  | { readonly verdict: 'well'; readonly reason: string }
  /** `weight`: how many failures it counts as. `down`: nothing listens there, so the remembered protocol is dropped. */
  | { readonly verdict: 'sick'; readonly reason: string; readonly weight: number; readonly down: boolean }
  /** It answers, but does not know this path: try the next probe. */
  | { readonly verdict: 'other' }

/** The probes in the order in which they are tried. */
export function questions(path: HealthPath, models: readonly ModelOffer[]): readonly ProbeQuestion[] {
  const tcp: ProbeQuestion = { kind: 'tcp', path: undefined }
  if (path === 'tcp') return [tcp]
  if (path !== 'auto') return [{ kind: 'path', path }]
  const model = models[0]
  const v2: ProbeQuestion = { kind: 'v2', path: '/v2/health/ready' }
  const v1: readonly ProbeQuestion[] = model
    ? [{ kind: 'v1', path: `/v1/models/${encodeURIComponent(model.name)}` }]
    : []
  return [v2, ...v1, ...OPENAI, tcp]
}

/** vLLM, SGLang, TGI and llama.cpp say whether they are ready, Ollama lists its models. */
const OPENAI: readonly ProbeQuestion[] = [
  { kind: 'health', path: '/health' },
  { kind: 'list', path: '/v1/models' },
]

/** @param known the backend has answered this probe before, so a 404 is a failure and not another protocol */
export function judge(question: ProbeQuestion, result: ProbeResult, known: boolean): ProbeVerdict {
  if (result.kind === 'connected') return { verdict: 'well', reason: 'probe: accepts connections' }
  if (result.kind !== 'status') {
    // A refused connection is certain: nothing listens. Other errors may be transient.
    const weight = result.kind === 'refused' ? 2 : result.kind === 'forbidden' ? Infinity : 1
    return { verdict: 'sick', reason: `probe: ${result.message}`, weight, down: result.kind === 'refused' }
  }
  const outcome = `probe: ${result.said ?? `${question.path} answered ${result.status}`}`
  const sick = (why = ''): ProbeVerdict => ({
    verdict: 'sick',
    reason: outcome + why,
    weight: 1,
    down: false,
  })
  if (result.status >= 200 && result.status < 300) {
    if (question.kind === 'v1' && !serves(result.body)) return sick(', the model is not ready')
    return { verdict: 'well', reason: outcome }
  }
  if (question.kind === 'path' || known || result.status === 503) return sick()
  // Triton says "not ready" with an empty 400; TensorFlow Serving answers paths it does not know with a 400 and a message.
  if (question.kind === 'v2' && result.status === 400 && result.body === '') return sick()
  return result.status < 500 || result.status === 501 ? { verdict: 'other' } : sick()
}

/** TensorFlow Serving lists versions with states, KServe V1 has `ready`; anything else counts as ready. */
function serves(body: string): boolean {
  try {
    const status = JSON.parse(body) as { ready?: unknown; model_version_status?: unknown }
    if (Array.isArray(status.model_version_status)) {
      return status.model_version_status.some(
        (version: { state?: unknown } | null) => version?.state === 'AVAILABLE',
      )
    }
    // KServe has used both true and "True".
    const { ready } = status
    return (
      ready === undefined || ready === true || (typeof ready === 'string' && ready.toLowerCase() === 'true')
    )
  } catch {
    return true
  }
}
