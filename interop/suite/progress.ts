/** What a run says while it goes on, and at its end. */
import { type CheckResult, count, OUTCOMES, type SystemResult } from './results.ts'
import type { System } from './session.ts'

export interface Progress {
  say(line: string): void
  checked(check: CheckResult): void
}

/** A line for what takes long or goes wrong; on a terminal also the check that has just ended, in place. */
export function progress({ name }: System): Progress {
  const started = performance.now()
  const { isTTY } = process.stdout
  let checks = 0
  const line = (text: string) => {
    const seconds = ((performance.now() - started) / 1000).toFixed(0).padStart(4)
    process.stdout.write(`${isTTY ? '\r\x1b[K' : ''}${name} ${seconds} s  ${text}\n`)
  }
  return {
    say: line,
    checked({ group, name: check, outcome, detail }) {
      checks++
      if (outcome === 'fails') line(`FAILS ${group}: ${check}\n    ${detail}`)
      else if (outcome === 'skipped') line(`skipped ${group}: ${check}\n    ${detail}`)
      else if (isTTY)
        process.stdout.write(`\r\x1b[K${name} ${checks} checks, ${group}: ${check}`.slice(0, 100))
    },
  }
}

/** A line a system. */
export function table(results: ReadonlyMap<string, SystemResult>): string {
  const rows = [...results].map(([name, result]) =>
    result.skipped === undefined
      ? [name, ...OUTCOMES.map((outcome) => String(count(result, outcome)))]
      : [name, `skipped: ${result.skipped}`],
  )
  const all = [['system', 'agree', 'differ', 'fail', 'skipped'], ...rows]
  return all
    .map((row) => row.map((cell, at) => (at === 0 ? cell.padEnd(12) : cell.padStart(8))).join(''))
    .join('\n')
}
