/**
 * Loaded into the gateway (`node --import`): how long its event loop stands still, and how much memory it takes. Told
 * over IPC when to begin and asked what came of it.
 */
export interface Probed {
  /** Longest time between two turns, by the clock and in processor time of this thread: the machine may have been busy. */
  readonly stallMs: number
  readonly stallCpuMs: number
  /** The 99th percentile by the clock. */
  readonly p99Ms: number
  /** Of the resident size: when it began, and the most since. */
  readonly rssBefore: number
  readonly rssMost: number
}

const EVERY_MS = 1

let last = performance.now()
let lastCpu = process.threadCpuUsage()
let delays: number[] = []
let stallCpuMs = 0
let rssBefore = 0
let rssMost = 0

function tick(): void {
  const now = performance.now()
  const cpu = process.threadCpuUsage(lastCpu)
  delays.push(now - last - EVERY_MS)
  stallCpuMs = Math.max(stallCpuMs, (cpu.user + cpu.system) / 1000)
  rssMost = Math.max(rssMost, process.memoryUsage.rss())
  last = performance.now()
  lastCpu = process.threadCpuUsage()
  setTimeout(tick, EVERY_MS).unref()
}

function begin(): void {
  delays = []
  stallCpuMs = 0
  rssBefore = rssMost = process.memoryUsage.rss()
}

function probed(): Probed {
  const sorted = delays.toSorted((a, b) => a - b)
  return {
    stallMs: sorted.at(-1) ?? 0,
    stallCpuMs,
    p99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? 0,
    rssBefore,
    rssMost,
  }
}

begin()
setTimeout(tick, EVERY_MS).unref()
process.on('message', (message) => {
  if (message === 'begin') begin()
  process.send?.(probed())
})
process.channel?.unref()
