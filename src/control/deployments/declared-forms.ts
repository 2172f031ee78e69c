/**
 * Finds out which request forms the backends' metadata declare. Only the metadata of the server itself is requested for
 * it, now and then; the rest is read from the answers to probes for versions.
 */
import type { Clock } from '../../lib/clock.ts'
import { formOfModel, formOfServer } from '../../protocol/oip/forms.ts'
import { accessOf, type Probe, type ProbeRequest, type ProbeResult } from '../health/probe.ts'
import type { Registry } from '../registry/registry.ts'

/** `form`: bits that the dialect defines; 0 where nothing is declared any more. */
export interface DeclaredForm {
  readonly pool: string
  readonly model: string
  readonly form: number
}

export interface DeclaredFormsOptions {
  readonly registry: Pick<Registry, 'views'>
  readonly probe: Probe
  readonly clock: Pick<Clock, 'now'>
  readonly declared: (declarations: DeclaredForm) => void
}

const ABOUT_MODEL = /^\/v2\/models\/([^/]+)$/
const SERVER = '/v2'
/** How long the server's metadata are valid: another server may start at the same address. */
const SERVER_MS = 30_000
/** Most models of one backend. */
const MAX_MODELS = 256
const MAX_BACKENDS = 4096

interface BackendForms {
  /** Forms by model, percent-encoded as in the path. */
  readonly models: Map<string, number>
  /** The forms that the server declares for all its models. */
  server: number
  probedAt: number
}

export class DeclaredForms {
  readonly #options: DeclaredFormsOptions
  /** By URL. */
  readonly #backends = new Map<string, BackendForms>()
  readonly #reported = new Map<string, number>()

  constructor(options: DeclaredFormsOptions) {
    this.#options = options
  }

  /** A probe that also reads the answers about model metadata. */
  readonly probe: Probe = async (request) => {
    const result = await this.#options.probe(request)
    const model = request.path === undefined ? undefined : ABOUT_MODEL.exec(request.path)?.[1]
    // The forms are those of REST.
    const isRest = request.transport !== 'grpc'
    if (isRest && model !== undefined && result.kind === 'status')
      void this.#onMetadata(model, request, result)
    return result
  }

  async #onMetadata(
    model: string,
    request: ProbeRequest,
    { status, body }: Extract<ProbeResult, { kind: 'status' }>,
  ): Promise<void> {
    const { url, timeoutMs } = request
    // An overloaded server declares nothing.
    if (status >= 500 || status === 429) return
    const form = status === 200 ? formOfModel(body) : 0
    const known = this.#backends.get(url)
    if (form === 0 && known === undefined) return
    const backend = known ?? { models: new Map(), server: 0, probedAt: Number.NEGATIVE_INFINITY }
    this.#backends.set(url, backend)
    backend.models.set(model, form)
    bounded(backend.models, MAX_MODELS)
    bounded(this.#backends, MAX_BACKENDS)
    this.#report(url, [model])
    const now = this.#options.clock.now()
    if (form === 0 || now - backend.probedAt < SERVER_MS) return
    backend.probedAt = now
    const server = await this.#options.probe({ url, path: SERVER, timeoutMs, ...accessOf(request) })
    if (server.kind !== 'status' || server.status >= 500) return
    backend.server = server.status === 200 ? formOfServer(server.body) : 0
    this.#report(url, [...backend.models.keys()])
  }

  /** Reports the forms that all backends of a pool with a declaration have in common. */
  #report(url: string, models: readonly string[]): void {
    for (const { pool, backends } of this.#options.registry.views()) {
      if (!backends.some((backend) => backend.url === url)) continue
      const declarations = backends.flatMap((backend) => this.#backends.get(backend.url ?? '') ?? [])
      for (const model of models) {
        const forms = declarations.flatMap(({ models: known, server }) => {
          const form = known.get(model)
          return form === undefined ? [] : [form === 0 ? 0 : form | server]
        })
        const form = forms.reduce((all, one) => all & one, 0xff) & (forms.length > 0 ? 0xff : 0)
        const of = `${pool}/${model}`
        if ((this.#reported.get(of) ?? 0) === form) continue
        this.#reported.set(of, form)
        bounded(this.#reported, MAX_BACKENDS)
        this.#options.declared({ pool, model: decodeURIComponent(model), form })
      }
    }
  }
}

function bounded(table: Map<string, unknown>, most: number): void {
  if (table.size > most) table.delete(table.keys().next().value as string)
}
