/**
 * What the rest of the machine did while something was measured: a latency taken beside somebody else's work is about
 * that work. From Linux' own accounts, in ticks of a hundredth of a second.
 */
import { readFileSync } from 'node:fs'

interface Ticks {
  readonly idle: number
  readonly all: number
  readonly own: number
}

/** Begins to watch; the result, once called, is how many processors others than these processes kept busy on the average. */
export function watchOthers(pids: readonly number[]): () => number {
  const before = ticks(pids)
  return () => {
    const after = ticks(pids)
    const [all, idle, own] = [after.all - before.all, after.idle - before.idle, after.own - before.own]
    const processors = readFileSync('/proc/stat', 'utf8').match(/^cpu\d/gm)?.length ?? 1
    return Math.max(0, Math.round(((all - idle - own) / all) * processors * 100) / 100)
  }
}

function ticks(pids: readonly number[]): Ticks {
  const [, text = ''] = /^cpu +(.*)$/m.exec(readFileSync('/proc/stat', 'utf8')) ?? []
  // user nice system idle iowait irq softirq steal; guests are in user already.
  const columns = text.split(' ').slice(0, 8).map(Number)
  const sum = (list: readonly number[]) => list.reduce((total, value) => total + value, 0)
  return {
    idle: sum(columns.slice(3, 5)),
    all: sum(columns),
    own: sum(pids.flatMap(withChildren).map(ticksOf)),
  }
}

function withChildren(pid: number): number[] {
  const children = read(`/proc/${pid}/task/${pid}/children`).trim().split(' ').filter(Boolean)
  return [pid, ...children.map(Number)]
}

function ticksOf(pid: number): number {
  // After the name, which may have spaces: utime and stime are the 12th and 13th.
  const fields = read(`/proc/${pid}/stat`).split(') ').at(-1)?.split(' ') ?? []
  return Number(fields[11] ?? 0) + Number(fields[12] ?? 0)
}

/** Empty for a process that has ended. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
