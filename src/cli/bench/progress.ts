/** One line on the terminal that is written over each second while a load test runs. */
import type { LoadTally } from '../../load-test/tally.ts'
import { formatNumber, formatUs } from '../../load-test/units.ts'

export interface ProgressOutput {
  readonly isTTY?: boolean
  write(text: string): unknown
}

export interface Progress {
  /** What the server that is asked has done by now. */
  update(seconds: ReadonlyMap<number, LoadTally>): void
  stop(): void
}

const SECOND_MS = 1000

/** `isForced`: on what is no terminal as well, a line for each second. */
export function createProgress(
  { totalMs, isForced }: { readonly totalMs: number; readonly isForced: boolean },
  output: ProgressOutput,
): Progress {
  const isTerminal = output.isTTY === true
  if (!isTerminal && !isForced) return { update: () => {}, stop: () => {} }
  const began = performance.now()
  let latest: ReadonlyMap<number, LoadTally> | undefined
  const write = () => {
    const elapsed = Math.floor((performance.now() - began) / SECOND_MS)
    const total = Number.isFinite(totalMs) ? ` of ${Math.ceil(totalMs / SECOND_MS)}` : ''
    const text = `${elapsed}${total} s${latest ? `: ${line(latest)}` : ': nothing is counted yet'}`
    output.write(isTerminal ? `\r\x1b[K${text}` : `${text}\n`)
  }
  const tick = setInterval(write, SECOND_MS)
  tick.unref()
  return {
    update(seconds) {
      latest = seconds
    },
    stop() {
      clearInterval(tick)
      if (isTerminal) output.write('\r\x1b[K')
    },
  }
}

/** The last second of which all is known, and all before it. */
function line(seconds: ReadonlyMap<number, LoadTally>): string {
  const known = [...seconds.keys()].sort((a, b) => a - b)
  const last = seconds.get(known.at(-2) ?? known.at(-1) ?? 0)
  const sum = (name: 'calls' | 'errors') =>
    [...seconds.values()].reduce((total, { numbers }) => total + numbers[name], 0)
  if (!last) return 'nothing was answered yet'
  const errors = sum('errors')
  const latency = `p50 ${formatUs(last.latency.quantile(0.5))}, p99 ${formatUs(last.latency.quantile(0.99))}`
  return `${sum('calls')} calls, ${formatNumber(last.numbers.calls)} a second, ${latency}${errors > 0 ? `, ${errors} errors` : ''}`
}
