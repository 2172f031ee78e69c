/** Facts that gateways share in their first shared tier, or this process alone where there is none. */
import type { GuardedTier } from './guard.ts'

export class TierFacts {
  readonly #tier: GuardedTier | undefined
  readonly #local = new Map<string, string>()

  constructor(tier: GuardedTier | undefined) {
    this.#tier = tier
  }

  /** The fact's value at the tier, ours if it had none; undefined while the tier cannot be asked. */
  async claim(name: string, value: string): Promise<string | undefined> {
    if (this.#tier) return this.#tier.claim(name, value)
    const present = this.#local.get(name) ?? value
    this.#local.set(name, present)
    return present
  }

  async facts(names: readonly string[]): Promise<(string | undefined)[] | undefined> {
    return this.#tier ? this.#tier.facts(names) : names.map((name) => this.#local.get(name))
  }

  async publish(name: string, value: string): Promise<boolean> {
    const tier = this.#tier
    if (!tier) {
      this.#local.set(name, value)
      return true
    }
    const isPublished = await tier.publish(name, value)
    if (isPublished) tier.hints?.send()
    return isPublished
  }
}
