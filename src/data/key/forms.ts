/**
 * In which forms a model's server takes requests and gives answers. One answer is given in every form that asks for it,
 * but only where the server itself would have: MLServer refuses binary tensors with 422, and a kept JSON twin must not
 * make a 200 of it. A form is shown by a call in it that succeeded in this deployment (here, or as a kept answer says:
 * elsewhere), or by the server's metadata. Until then a call in it shares with nothing but its own form.
 *
 * A form is a set of bits, whose meaning is the dialect's: 0 where there is but one form.
 */
import type { Reply } from '../../core/reply.ts'
import type { Plan } from '../../protocol/protocol.ts'
import type { Matched } from '../route/routes.ts'
import type { ModelNames } from './model-names.ts'

/** Names come from callers and deployments, so there is a bound; what is forgotten is shown anew. */
const MAX_MODELS = 4096

export interface FormsOptions {
  readonly names: ModelNames
}

export class Forms {
  readonly #names: ModelNames
  readonly #shown = new Map<string, number>()
  /** By pool and model, of whatever deployment. */
  readonly #told = new Map<string, number>()

  constructor({ names }: FormsOptions) {
    this.#names = names
  }

  /** Whether the server has shown all that the form needs. */
  has(matched: Matched, form: number): boolean {
    if (form === 0) return true
    const name = this.#names(matched)
    const shown = this.#shown.get(name) ?? 0
    if ((shown & form) === form) return true
    const told = this.#told.get(name.slice(0, name.lastIndexOf('@'))) ?? 0
    return ((shown | told) & form) === form
  }

  /** A call has succeeded. */
  learn(matched: Matched, plan: Plan, reply: Reply): void {
    const { protocol } = matched
    const form = protocol.shows ? protocol.shows(reply, reply.body as Uint8Array, plan) : (plan.form ?? 0)
    const name = this.#names(matched)
    this.#shown.set(name, (this.#shown.get(name) ?? 0) | form)
    bounded(this.#shown)
  }

  /** What the metadata of a pool's server say of a model; 0: nothing any more. */
  tell(pool: string, model: string, form: number): void {
    this.#told.set(`${pool}/${model}`, form)
    bounded(this.#told)
  }
}

function bounded(table: Map<string, number>): void {
  if (table.size > MAX_MODELS) table.delete(table.keys().next().value as string)
}

/** How a call is written, and whether answers that came in other forms will do for it. */
export interface FormPreference {
  readonly form: number
  readonly isShown: boolean
}

/** Whether a kept answer may be given to such a call. */
export function suits({ form = 0 }: { readonly form?: number }, taker: FormPreference): boolean {
  return taker.isShown || form === taker.form
}
