/** A call as a line of a table, for people. The lines may come from anywhere, so what a terminal would obey is not shown. */
import { styleText } from 'node:util'
import type { CallLogLine } from './log-lines.ts'

const WIDTHS = [12, 3, 9, 9, 16, 20, 12, 20, 18]

export const CALLS_HEAD = row([
  'TIME',
  'ST',
  'MS',
  'OUTCOME',
  'ROUTE',
  'MODEL',
  'TENANT',
  'STAGE',
  'BACKEND',
  'ID',
])

export function callRow(call: CallLogLine): string {
  const { time, status, ms, outcome, fault, route, model, tenant, attempts, requestId } = call
  const backends = attempts.map(({ backend, ending }) => (ending === 'ok' ? backend : `${backend}!${ending}`))
  const cells = [
    time.slice(11, 23),
    String(status),
    ms.toFixed(ms < 10 ? 3 : 1),
    fault ?? outcome,
    route ?? '-',
    model ?? '-',
    tenant ?? '-',
    longest(call),
    backends.join(',') || '-',
    requestId,
  ]
  const line = row(cells.map(shown))
  const style = status >= 499 ? 'red' : status >= 400 ? 'yellow' : undefined
  // Left plain where the output is no terminal, or the environment says so.
  return style ? styleText(style, line, { stream: process.stdout }) : line
}

function longest({ stages }: CallLogLine): string {
  const [stage, ms] = Object.entries(stages).reduce((a, b) => (b[1] > a[1] ? b : a), ['', 0])
  return stage === '' ? '-' : `${stage} ${ms.toFixed(1)}`
}

function row(cells: readonly string[]): string {
  return cells.map((cell, i) => cell.padEnd(WIDTHS[i] ?? 0)).join('  ')
}

function shown(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?')
}
