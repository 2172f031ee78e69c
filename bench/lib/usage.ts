/** `--help` of a script: what is written at its top, which is what it is and how it is called. */
import { readFileSync } from 'node:fs'

/** Ends the process where help was asked for. */
export function help(file: string): void {
  if (!process.argv.slice(2).some((word) => word === '--help' || word === '-h')) return
  console.log(opening(readFileSync(file, 'utf8')))
  process.exit(0)
}

/** The first comment of a file without its stars. */
export function opening(text: string): string {
  const comment = /\/\*\*\n?([^]*?)\*\//.exec(text)?.[1] ?? ''
  return comment.replace(/^ \* ?/gm, '').trimEnd()
}
