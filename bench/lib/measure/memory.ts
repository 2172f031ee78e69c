/** What an entry costs in the memory of the cache: bench/micro/arena.ts, in a process of its own. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { TASKSET } from '../process.ts'
import { type Measure, nameOf } from '../scenario.ts'
import type { Opened, Terms } from '../subject.ts'

const execute = promisify(execFile)
const PROGRAM = join(import.meta.dirname, '..', '..', 'micro', 'arena.ts')
const TIMEOUT_MS = 120_000

export async function openMemory(
  { entries, bytes }: Extract<Measure, { kind: 'memory' }>,
  { quick }: Terms,
): Promise<Opened> {
  const count = quick ? entries / 5 : entries
  return async (side) => ({
    async warm() {},
    async round() {
      const args = ['--expose-gc', PROGRAM, String(count), String(bytes), nameOf(side)]
      const { stdout } = await execute(TASKSET, ['-c', '0', process.execPath, ...args], {
        timeout: TIMEOUT_MS,
      })
      const said = JSON.parse(stdout) as Record<string, number>
      const of = (name: string): number => said[name] ?? Number.NaN
      return {
        round: {
          overheadBytes: of('overhead B/entry'),
          rssRatio: of('RSS / maxBytes'),
          getNs: of('get ns'),
          setNs: of('set ns'),
          hotLeft: of('hot left of 1000'),
        },
      }
    },
  })
}
