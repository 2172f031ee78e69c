/** What runs saw, a small file a system, so that a run of one name leaves what is known of the others. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { RESULTS } from './places.ts'

/** `differs` is a difference that is declared, with its reason; one that is not `fails`. `skipped`: what it needs cannot be had. */
export type Outcome = (typeof OUTCOMES)[number]
/** As tables show them, column by column. */
export const OUTCOMES = ['agrees', 'differs', 'fails', 'skipped'] as const

export interface CheckResult {
  readonly group: string
  readonly name: string
  readonly outcome: Outcome
  /** Why it differs or was skipped, or what was seen where it fails. */
  readonly detail?: string
}

export interface SystemResult {
  readonly title: string
  /** The day of the run, UTC. */
  readonly date: string
  /** Names of software with the versions that were found. */
  readonly software: Readonly<Record<string, string>>
  /** How its servers were started, as one would type it. */
  readonly commands: readonly string[]
  /** Why it did not run. */
  readonly skipped?: string
  readonly checks: readonly CheckResult[]
}

export type Results = ReadonlyMap<string, SystemResult>

/** All that is kept, by name of the system. */
export function readResults(folder = RESULTS): Results {
  const files = readdirSync(folder).filter((file) => file.endsWith('.json'))
  return new Map(
    files
      .sort()
      .map((file) => [
        file.slice(0, -'.json'.length),
        JSON.parse(readFileSync(join(folder, file), 'utf8')) as SystemResult,
      ]),
  )
}

export function writeResult(name: string, result: SystemResult, folder = RESULTS): void {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(result, null, 2)}\n`)
}

export const count = ({ checks }: SystemResult, outcome: Outcome): number =>
  checks.filter((check) => check.outcome === outcome).length
