/** What the kernel counts: the processor time of a server, of everybody else, and who listens on a port. */
import { readdirSync, readFileSync } from 'node:fs'

/** Processor time so far, over all threads. */
export interface Stat {
  readonly pid: number
  readonly parent: number
  readonly ticks: number
  /** Of children that have ended. */
  readonly goneTicks: number
}

// USER_HZ is 100 on every Linux that has a /proc.
const MICROS_PER_TICK = 10_000

/** A line of /proc/PID/stat. The program's name stands in parentheses and may hold anything, parentheses too. */
export function parseStat(text: string): Stat | undefined {
  const end = text.lastIndexOf(')')
  const fields = text.slice(end + 2).split(' ')
  const sum = (from: number) => Number(fields[from]) + Number(fields[from + 1])
  const stat = {
    pid: Number.parseInt(text, 10),
    parent: Number(fields[1]),
    ticks: sum(11),
    goneTicks: sum(13),
  }
  return end > 0 && Object.values(stat).every(Number.isInteger) ? stat : undefined
}

/** Processor time of a process and all that descend from it, in microseconds. */
export function cpuMicros(root: number, stats: readonly Stat[] = readStats()): number {
  return family(root, stats).reduce((sum, { ticks }) => sum + ticks, 0) * MICROS_PER_TICK
}

/** Memory that a process has of its own and shares, in MiB. */
export function rssMiB(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readOrEmpty(`/proc/${pid}/status`))?.[1]
  return Number(kib) / 1024
}

function family(root: number, stats: readonly Stat[]): Stat[] {
  const parents = new Map(stats.map(({ pid, parent }) => [pid, parent]))
  const isOurs = (pid: number | undefined): boolean =>
    pid !== undefined && pid !== 0 && (pid === root || isOurs(parents.get(pid)))
  return stats.filter(({ pid }) => isOurs(pid))
}

/**
 * Processor time that everybody else has taken of this machine, in microseconds: what is not this process's or its
 * children's, and what the hypervisor gave to another machine. From the first line of /proc/stat; interrupts are
 * nobody's and left out.
 */
export function othersMicros(root: number, stats = readStats(), cpu = readOrEmpty('/proc/stat')): number {
  const [user = 0, nice = 0, system = 0, , , , , steal = 0] = (cpu.split('\n')[0] ?? '')
    .split(/\s+/)
    .slice(1)
    .map(Number)
  const ours = family(root, stats).reduce((sum, { ticks, goneTicks }) => sum + ticks + goneTicks, 0)
  return (user + nice + system + steal - ours) * MICROS_PER_TICK
}

function readStats(): Stat[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => parseStat(readOrEmpty(`/proc/${name}/stat`)))
    .filter((stat) => stat !== undefined)
}

/** How many sockets listen on a port, from a table like /proc/net/tcp: with reusePort, one a worker. */
export function listeners(port: number, table: string = readOrEmpty('/proc/net/tcp')): number {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return table
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, address, , state]) => address?.endsWith(local) && state === LISTEN).length
}

const LISTEN = '0A'

function readOrEmpty(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    // It ended meanwhile.
    return ''
  }
}
