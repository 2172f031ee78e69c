/**
 * Finds out which request forms the backends' metadata declare. Only the metadata of the server itself is requested for
 * it, now and then; the rest is read from the answers to probes for versions. The forms are those of REST, and what a backend that
 * takes only gRPC declares is that of the translation: each worker would otherwise have to see each form answered.
 */
import { type BackendAddresses, mainAddress } from '../../core/backend.ts'
import type { Clock } from '../../lib/clock.ts'
import { BLOB_FORM, formOfModel, formOfServer } from '../../protocol/oip/forms.ts'
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
  /** By URL, or by the address for gRPC where there is no other. */
  readonly #backends = new Map<string, BackendForms>()
  readonly #reported = new Map<string, number>()

  constructor(options: DeclaredFormsOptions) {
    this.#options = options
  }

  /** A probe that also reads the answers about model metadata. */
  readonly probe: Probe = async (request) => {
    const result = await this.#options.probe(request)
    const model = request.path === undefined ? undefined : ABOUT_MODEL.exec(request.path)?.[1]
    if (model !== undefined && result.kind === 'status') void this.#onMetadata(model, request, result)
    return result
  }

  async #onMetadata(
    model: string,
    request: ProbeRequest,
    { status, body }: Extract<ProbeResult, { kind: 'status' }>,
  ): Promise<void> {
    const { url, timeoutMs } = request
    // Calls over REST are translated for it, in each of their forms.
    const isTranslated = request.transport === 'grpc'
    // An overloaded server declares nothing.
    if (status >= 500 || status === 429) return
    const declared = status === 200 ? formOfModel(body) : 0
    const form = isTranslated && declared !== 0 ? declared | BLOB_FORM : declared
    const known = this.#backends.get(url)
    if (form === 0 && known === undefined) return
    const backend = known ?? { models: new Map(), server: 0, probedAt: Number.NEGATIVE_INFINITY }
    this.#backends.set(url, backend)
    backend.models.set(model, form)
    bounded(backend.models, MAX_MODELS)
    bounded(this.#backends, MAX_BACKENDS)
    this.#report(url, [model])
    const now = this.#options.clock.now()
    if (form === 0 || isTranslated || now - backend.probedAt < SERVER_MS) return
    backend.probedAt = now
    const server = await this.#options.probe({ url, path: SERVER, timeoutMs, ...accessOf(request) })
    if (server.kind !== 'status' || server.status >= 500) return
    backend.server = server.status === 200 ? formOfServer(server.body) : 0
    this.#report(url, [...backend.models.keys()])
  }

  /** Reports the forms that all backends of a pool with a declaration have in common. */
  #report(url: string, models: readonly string[]): void {
    for (const { pool, backends } of this.#options.registry.views()) {
      const asked = askedOverRest(backends)
      if (!asked.some((backend) => mainAddress(backend) === url)) continue
      const declarations = asked.flatMap((backend) => this.#backends.get(mainAddress(backend)) ?? [])
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

/** The backends that calls over REST go to: those that take them, or all, in a pool where they are translated. */
function askedOverRest<B extends BackendAddresses>(backends: readonly B[]): readonly B[] {
  const own = backends.filter(({ url }) => url !== undefined)
  return own.length > 0 ? own : backends
}

function bounded(table: Map<string, unknown>, most: number): void {
  if (table.size > most) table.delete(table.keys().next().value as string)
}
