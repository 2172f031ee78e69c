/** The remote procedures between the control thread and the thread that writes prediction logs. */
import type { StoresSettings } from '../../config/schema.ts'
import type { FileEvent } from '../../prediction-log/destination.ts'
import type { RecordOutcome } from '../../prediction-log/route-log.ts'
import type { LogSettings } from '../../prediction-log/writer.ts'
import type { ToControl } from '../workers/messages.ts'

export interface WriterStart {
  /** How HDFS is reached. */
  readonly stores: StoresSettings
  /** Bytes of batches that are not written yet; the writer takes off what it has written. */
  readonly queued: Int32Array
}

export interface ToWriter {
  follow(logs: readonly LogSettings[]): void
  write(batch: Uint8Array): void
  /** Answered when all is published, or after so many milliseconds. */
  close(withinMs: number): void
}

export interface FromWriter {
  log: ToControl['log']
  recorded(of: { readonly route: string; readonly outcome: RecordOutcome; readonly records: number }): void
  /** What is wrong now, a line each. */
  troubled(problems: readonly string[]): void
  filed(of: { readonly to: string; readonly event: FileEvent }): void
}
