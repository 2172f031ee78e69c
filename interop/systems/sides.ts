/** What the systems have in common: the gateways in front of a server, and plans for the scripts of clients. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SCRIPT_MS, tryClient } from '../suite/clients.ts'
import type { Invented } from '../suite/compare.ts'
import { startForks } from '../suite/forks.ts'
import type { Gateway } from '../suite/gateway.ts'
import { CLIENTS } from '../suite/places.ts'
import type { Python } from '../suite/python.ts'
import { recordCalls } from '../suite/recorded-calls.ts'
import type { Session } from '../suite/session.ts'
import { sample } from './v2.ts'

/** A server, and the gateways that stand in front of it. */
export interface Sides {
  readonly direct: string
  readonly gateways: readonly Gateway[]
  readonly invented?: Invented
}

/** Settings that split every batch into its rows. */
export const rowByRow = (url: string) => ({
  pools: { upstream: { backends: [{ url }] } },
  routes: [{ name: 'all', pool: 'upstream', cache: { rows: 'always' as const } }],
})

/** One gateway with all defaults, and one that splits every batch into rows; `of` tells them from others of the session. */
export async function defaultsAndRows(
  session: Session,
  direct: string,
  of = '',
): Promise<readonly [Gateway, Gateway]> {
  return Promise.all([
    session.gateway({ name: `${of}defaults`, upstream: direct }),
    session.gateway({ name: `${of}rows`, upstream: direct, settings: rowByRow(direct) }),
  ])
}

/** What `triton_http.py` asks a model. */
export interface TritonModel {
  readonly model: string
  readonly input: string
  readonly datatype: string
  readonly shape: readonly number[]
  readonly value: readonly unknown[]
  readonly outputs: readonly string[]
  readonly forms?: readonly ('json' | 'binary')[]
  /** How many of its calls are hits when they come again: 1 where its answers are kept. */
  readonly cached?: number
}

/** The sample of a datatype for a model that takes it. */
export function tritonSample(
  datatype: string,
  model: Omit<TritonModel, 'datatype' | 'shape' | 'value'>,
): TritonModel {
  const { data, shape } = sample(model.input, datatype)
  return { ...model, datatype, shape, value: data.map(exactly) }
}

/** A number as it is written: as one of JavaScript's, one of 64 bits would become another. */
function exactly(text: string): unknown {
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(text)
}

export interface ScriptOptions {
  readonly sides: Sides
  readonly python: Python
  readonly group: string
  /** A script of `interop/clients`, or a path. */
  readonly script: string
  /** Given to the script as a file of JSON. */
  readonly plan?: unknown
  readonly env?: Readonly<Record<string, string>>
  /** Its calls over gRPC are recorded. */
  readonly recorded?: true
}

/** Runs a Python script of a client library against all sides. */
export async function tryScript(session: Session, options: ScriptOptions): Promise<void> {
  const { sides, python, group, script, plan, env = {}, recorded } = options
  if (session.recording && !recorded) return
  const forks = startForks({
    command: python.command,
    script: script.startsWith('/') ? script : join(CLIENTS, script),
    args: plan === undefined ? [] : [planFile(session, group, plan)],
    env,
    timeoutMs: SCRIPT_MS,
  })
  try {
    const client = { ...sides, group, run: (base: string) => forks.run(base) }
    await (session.recording ? recordCalls : tryClient)(session, client)
  } finally {
    forks.stop()
  }
}

function planFile(session: Session, group: string, plan: unknown): string {
  const file = join(session.folder, `${group.replaceAll(/\W+/g, '-')}.json`)
  writeFileSync(file, JSON.stringify(plan))
  return file
}
