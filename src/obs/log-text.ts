/**
 * Log lines for a person at a terminal: the time of day, the level, the event in words, and the fields behind it. The fields may come from
 * anywhere, so what a terminal would obey is not shown.
 */
import { styleText } from 'node:util'

export type ProcessLogFormat = 'json' | 'text'

/** What `auto` means for an output: text for a person, JSON for a program and for the terminal of a build server. */
export function logFormatFor(
  setting: ProcessLogFormat | 'auto',
  output: { readonly isTTY?: boolean },
  env: NodeJS.ProcessEnv,
): ProcessLogFormat {
  if (setting !== 'auto') return setting
  return output.isTTY === true && !env['CI'] ? 'text' : 'json'
}

const STYLES = { debug: 'gray', info: 'green', warn: 'yellow', error: 'red' } as const
type Style = (typeof STYLES)[keyof typeof STYLES] | 'dim' | 'bold'

/** The text of a JSON line, both with their line ends; a line that is no object stays as it is. */
export function textOfLine(line: string, isColoured: boolean): string {
  const members = membersOf(line)
  if (!members) return line
  const { time, level = 'info', event = 'call', ...fields } = members
  const paint = (style: Style, text: string) =>
    isColoured ? styleText(style, text, { validateStream: false }) : text
  const style = Object.hasOwn(STYLES, String(level)) ? STYLES[level as keyof typeof STYLES] : 'bold'
  const words = shown(String(event)).replaceAll('.', ' ')
  const details = Object.entries(fields).map(
    ([name, value]) =>
      `${paint('dim', `${shown(name)}=`)}${STACKS.has(name) ? stackOf(value) : textOf(value)}`,
  )
  return `${[paint('dim', timeOf(time)), paint(style, String(level).padEnd(5)), paint('bold', words), ...details].join(' ')}\n`
}

function membersOf(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value = JSON.parse(line) as unknown
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined
  } catch {
    return undefined
  }
}

/** The time of day where the terminal is. */
function timeOf(time: unknown): string {
  const at = new Date(String(time))
  if (Number.isNaN(at.getTime())) return '--:--:--.---'
  const two = (value: number) => String(value).padStart(2, '0')
  const ms = String(at.getMilliseconds()).padStart(3, '0')
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${ms}`
}

/** Members that are ours to write, and may have the lines of a stack. */
const STACKS = new Set(['error', 'stack'])

function stackOf(value: unknown): string {
  if (typeof value !== 'string' || !value.includes('\n')) return textOf(value)
  return value.split('\n').map(shown).join('\n    ')
}

/** A text with blanks is in quotes, so that fields can be told apart. */
function textOf(value: unknown): string {
  if (typeof value !== 'string') return shown(JSON.stringify(value) ?? 'undefined')
  return shown(/[\s"=]/.test(value) || value === '' ? JSON.stringify(value) : value)
}

/** A line end would begin a line that looks like another event. */
function shown(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?')
}
