/**
 * Says when a certificate of ours is about to expire: 30 days and 7 days before, and when it has. It is said and nothing
 * else: a gateway that took itself out of service would turn a warning into an outage, of all gateways at once.
 */
import type { Log } from '../../core/log.ts'
import type { OwnCertificate } from './files.ts'

/** `name`: where it stands in the settings. */
export interface Expiring extends OwnCertificate {
  readonly name: string
}

const DAY_MS = 24 * 3600 * 1000
const DAYS = [0, 7, 30]

/** `now`: wall-clock milliseconds. */
export function expiryReasons(certificates: readonly Expiring[], now: number): string[] {
  return certificates.flatMap(({ name, file, notAfter }) =>
    stageOf(notAfter, now) === undefined ? [] : [`${name}: ${file} ${whenOf(notAfter, now)}`],
  )
}

/** Logs each certificate once at each stage. */
export class ExpiryWarnings {
  readonly #log: Log
  #logged = new Set<string>()

  constructor(log: Log) {
    this.#log = log
  }

  check(certificates: readonly Expiring[], now: number): void {
    const due = new Set<string>()
    for (const { name, file, notAfter } of certificates) {
      const stage = stageOf(notAfter, now)
      if (stage === undefined) continue
      const key = JSON.stringify([name, file, notAfter, stage])
      due.add(key)
      if (this.#logged.has(key)) continue
      const fields = { tls: name, file, notAfter: new Date(notAfter).toISOString() }
      if (stage === 0) this.#log.error('tls.expired', fields)
      else this.#log.warn('tls.expiring', { ...fields, withinDays: stage })
    }
    this.#logged = due
  }
}

/** The least number of days of the list within which it expires; undefined: none. */
function stageOf(notAfter: number, now: number): number | undefined {
  return DAYS.find((days) => notAfter - now <= days * DAY_MS)
}

function whenOf(notAfter: number, now: number): string {
  const date = new Date(notAfter).toISOString().slice(0, 10)
  return notAfter <= now
    ? `expired on ${date}: clients refuse it`
    : `expires on ${date}, in ${Math.floor((notAfter - now) / DAY_MS)} days`
}
