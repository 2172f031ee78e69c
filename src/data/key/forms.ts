/**
 * The forms in which a model's server takes requests and gives answers. One stored answer serves calls in every form, but
 * only in forms that the server itself supports: MLServer refuses binary tensors with 422, and a stored JSON answer must
 * not turn that into a 200. A form is proved by a call in it that succeeded in this deployment (here, or at another
 * gateway as a stored answer shows), or by the server's metadata. Until then a call in it shares only with its own form.
 *
 * A form is a set of bits, whose meaning is the dialect's; 0 where the dialect has one form only.
 */
import type { Reply } from '../../core/reply.ts'
import type { Plan } from '../../protocol/protocol.ts'
import type { Matched } from '../route/routes.ts'
import type { ModelNames } from './model-names.ts'

/** Callers make up names, so there is a bound; what is forgotten is proved anew. */
const MAX_MODELS = 4096

/** What one worker has learnt from an answer, for the other workers. */
export interface ShownForm {
  /** The model in its deployment, as `ModelNames` names it. */
  readonly model: string
  readonly form: number
}

export interface FormsOptions {
  readonly names: ModelNames
  /** Called when an answer shows what was not known yet; undefined: there are no other workers. */
  readonly learnt?: ((shown: ShownForm) => void) | undefined
}

export class Forms {
  readonly #names: ModelNames
  readonly #learnt: FormsOptions['learnt']
  readonly #shown = new Map<string, number>()
  /** By pool and model, of whatever deployment. */
  readonly #declared = new Map<string, number>()

  constructor({ names, learnt }: FormsOptions) {
    this.#names = names
    this.#learnt = learnt
  }

  /** Whether the server has proved all bits of the form. */
  has(matched: Matched, form: number): boolean {
    return form === 0 || (this.shown(matched) & form) === form
  }

  /** All bits that the server has proved. */
  shown(matched: Matched): number {
    const name = this.#names(matched)
    const declared = this.#declared.get(name.slice(0, name.lastIndexOf('@'))) ?? 0
    return (this.#shown.get(name) ?? 0) | declared
  }

  /** Notes the form of a call that succeeded. */
  learn(matched: Matched, plan: Plan, reply: Reply): void {
    const { protocol } = matched
    const form = protocol.shows ? protocol.shows(reply, reply.body as Uint8Array, plan) : (plan.form ?? 0)
    const model = this.#names(matched)
    if (((this.#shown.get(model) ?? 0) & form) === form) return
    this.apply({ model, form })
    this.#learnt?.({ model, form })
  }

  /** Takes over what another worker has learnt. */
  apply({ model, form }: ShownForm): void {
    this.#shown.set(model, (this.#shown.get(model) ?? 0) | form)
    bounded(this.#shown)
  }

  /** Notes what the server's metadata say of a model; 0: they no longer say anything. */
  declare(pool: string, model: string, form: number): void {
    this.#declared.set(`${pool}/${model}`, form)
    bounded(this.#declared)
  }
}

function bounded(table: Map<string, number>): void {
  if (table.size > MAX_MODELS) table.delete(table.keys().next().value as string)
}

/** The form of a call, and whether an answer in another form will do for it. */
export interface FormPreference {
  readonly form: number
  readonly isShown: boolean
}

/** Whether a stored answer may be given to such a call. */
export function suits({ form = 0 }: { readonly form?: number }, call: FormPreference): boolean {
  return call.isShown || form === call.form
}
