/** Asks the admin API each second how many backends there are and how many calls wait, while a load test runs. */
import type { GatewaySample } from '../../load-test/report/charts.ts'
import { type AdminClient, type AdminClientOptions, createAdminClient } from '../admin-client.ts'
import { readPools } from '../answers.ts'

const SECOND_MS = 1000
const TIMEOUT_MS = 900

export class GatewaySampler {
  readonly #client: AdminClient
  readonly #samples: GatewaySample[] = []
  #began = performance.now()
  #timer: NodeJS.Timeout | undefined
  #isAsking = false

  private constructor(client: AdminClient) {
    this.#client = client
  }

  /** Rejects with an AdminError where the gateway does not answer: better before a test than after it. */
  static async create(options: AdminClientOptions): Promise<GatewaySampler> {
    const sampler = new GatewaySampler(await createAdminClient(options))
    await sampler.#ask()
    // From then on an answer that is late is left out.
    return new GatewaySampler(await createAdminClient({ ...options, timeoutMs: TIMEOUT_MS }))
  }

  begin(): void {
    this.#began = performance.now()
    const ask = () => void this.#ask().catch(() => {})
    ask()
    this.#timer = setInterval(ask, SECOND_MS)
  }

  /** What was heard, by the second since `begin`. */
  stop(): readonly GatewaySample[] {
    clearInterval(this.#timer)
    return this.#samples
  }

  /** One question at a time. */
  async #ask(): Promise<void> {
    if (this.#isAsking) return
    this.#isAsking = true
    try {
      const second = Math.floor((performance.now() - this.#began) / SECOND_MS)
      const { pools } = await this.#client.send('GET', '/api/v1/pools', readPools)
      const backends = pools.flatMap((pool) => pool.backends)
      this.#samples.push({
        second,
        backends: backends.length,
        ready: backends.filter(({ state, effective = { state } }) => effective.state === 'ready').length,
        queued: pools.reduce((sum, { traffic }) => sum + (traffic?.queued ?? 0), 0),
        inflight: backends.reduce((sum, { inflight }) => sum + inflight, 0),
      })
    } finally {
      this.#isAsking = false
    }
  }
}
