/** The thread that sends traces to a collector: what that takes of a processor is not taken from calls. */
import { parentPort, workerData } from 'node:worker_threads'
import type { TracedCall } from '../../core/call-line.ts'
import { ExportQueue } from '../../obs/export-queue.ts'
import { openOtlp } from '../../obs/otlp.ts'
import type { ExportStart, FromExport, ToExport } from './messages.ts'

const TIMEOUT_MS = 5_000

const send = await openOtlp({ ...(workerData as ExportStart), timeoutMs: TIMEOUT_MS })
const queue = new ExportQueue<TracedCall>({
  send,
  counted: (outcome, calls) => parentPort?.postMessage({ outcome, calls } satisfies FromExport),
})
parentPort?.on('message', (message: ToExport) => {
  if (message === 'close') void queue.flush().finally(() => parentPort?.close())
  else for (const call of message.calls) queue.add(JSON.parse(call) as TracedCall)
})
