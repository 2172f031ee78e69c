/** What the workers were told since the start of the process, so that one which starts later can be told as well. */
import type { Settings } from '../../config/schema.ts'
import type { BackendCredentials } from '../../control/credentials/backend-credentials.ts'
import type { HostPort } from '../../core/addresses.ts'
import type { PoolView } from '../../core/backend.ts'
import type { Credentials } from '../../data/auth/authenticator.ts'
import type { ShownForm } from '../../data/key/forms.ts'
import type { Finding } from '../../data/rows/splitter.ts'
import type { LiveTls } from '../tls.ts'
import type { ReportedForm } from './messages.ts'
import type { WorkerRpc } from './worker-supervisor.ts'

/** Callers make up models, so there is a bound; what is forgotten is found out anew. */
const MAX_REMEMBERED = 1_024

export class CatchUp {
  /** The settings of the last reload; undefined: none since the start. */
  settings: Settings | undefined
  credentials: Credentials | undefined
  backendCredentials: BackendCredentials = {}
  ownListeners: readonly HostPort[] = []
  isLeaving = false
  readonly #tls: LiveTls
  readonly #views = new Map<string, PoolView>()
  readonly #declaredForms = new Map<string, ReportedForm>()
  readonly #shownForms = new Map<string, ShownForm>()
  readonly #findings = new Map<string, Finding>()

  constructor(tls: LiveTls) {
    this.#tls = tls
  }

  view(view: PoolView): void {
    this.#views.set(view.pool, view)
  }

  declaredForm(form: ReportedForm): void {
    remember(this.#declaredForms, `${form.pool}/${form.model}`, form)
  }

  shownForm({ model, form }: ShownForm): void {
    const known = this.#shownForms.get(model)?.form ?? 0
    remember(this.#shownForms, model, { model, form: known | form })
  }

  finding(finding: Finding): void {
    remember(this.#findings, `${finding.model} ${finding.kind ?? ''}`, finding)
  }

  /** Tells a new worker all of it. */
  send(rpc: WorkerRpc): void {
    if (this.settings) rpc.notify('reload', this.settings)
    rpc.notify('secure', this.#tls.material)
    rpc.notify('authorize', this.backendCredentials)
    if (this.credentials) rpc.notify('credentials', this.credentials)
    rpc.notify('ownListeners', this.ownListeners)
    for (const view of this.#views.values()) rpc.notify('apply', view)
    for (const form of this.#declaredForms.values()) rpc.notify('declareForm', form)
    for (const shown of this.#shownForms.values()) rpc.notify('formShown', shown)
    for (const finding of this.#findings.values()) rpc.notify('split', finding)
    if (this.isLeaving) rpc.notify('leave', undefined)
  }
}

function remember<T>(known: Map<string, T>, of: string, what: T): void {
  known.delete(of)
  known.set(of, what)
  if (known.size > MAX_REMEMBERED) known.delete(known.keys().next().value as string)
}
