/** The entry point of the thread that writes prediction logs. */
import { isMainThread, type MessagePort, parentPort, workerData } from 'node:worker_threads'
import type { StoresSettings } from '../../config/schema.ts'
import { addressRefusal, createAddressRules } from '../../core/addresses.ts'
import type { Log } from '../../core/log.ts'
import { readStoreUrl } from '../../core/store-url.ts'
import { systemClock } from '../../lib/clock.ts'
import { readSecret } from '../../lib/regular-file.ts'
import type { RemoteDirectory } from '../../prediction-log/destination.ts'
import { PredictionWriter } from '../../prediction-log/writer.ts'
import { ThreadRpc } from '../workers/thread-rpc.ts'
import type { FromWriter, ToWriter, WriterStart } from './messages.ts'

const CONNECT_MS = 5_000

function run(port: MessagePort, { stores, queued }: WriterStart): void {
  const clock = systemClock
  const control = new ThreadRpc<FromWriter, ToWriter>(port, clock)
  const writer = new PredictionWriter({
    openRemote: (url) => openHdfs(url, stores),
    counted: (route, outcome, records) => control.notify('recorded', { route, outcome, records }),
    fileCounted: (to, event) => control.notify('filed', { to, event }),
    troubled: (problems) => control.notify('troubled', problems),
    log: logTo(control),
    clock,
    random: Math.random,
  })
  let following = Promise.resolve()
  control.handle({
    follow(logs) {
      following = following.then(() => writer.follow(logs))
      void following.then(() => writer.finishLeftovers())
      return following
    },
    async write(batch) {
      // Records may come before the logs that they are for are open.
      await following
      await writer.write(batch)
      Atomics.sub(queued, 0, batch.length)
    },
    async close(withinMs) {
      const signal = AbortSignal.timeout(withinMs)
      await following
      await writer.close(signal)
    },
  })
}

/** Loaded with the first log that goes there. */
async function openHdfs(url: string, stores: StoresSettings): Promise<RemoteDirectory> {
  const [{ StoreHttp }, { WebHdfs }, { createHdfsDirectory }] = await Promise.all([
    import('../../store/http.ts'),
    import('../../store/webhdfs.ts'),
    import('../../prediction-log/hdfs-directory.ts'),
  ])
  const place = readStoreUrl(url)
  if (!place || 'problem' in place || place.type !== 'hdfs') throw new Error(`${url} is no directory of HDFS`)
  const { namenodes, dataNodes, user, tokenFile } = stores.hdfs
  const rules = createAddressRules({ allow: stores.allowAddresses })
  const refuse = (address: string, port: number) => addressRefusal(address, port, rules)
  const http = new StoreHttp({ refuse, connectTimeoutMs: Math.min(CONNECT_MS, stores.timeout) })
  const hdfs = new WebHdfs({
    http,
    namenodes: place.namenode === undefined ? namenodes : [place.namenode],
    dataNodes,
    timeoutMs: stores.timeout,
    ...(user === undefined ? {} : { user }),
    ...(tokenFile === undefined ? {} : { token: () => readSecret(tokenFile) }),
  })
  const { path } = place
  return createHdfsDirectory({ url, path, hdfs, close: () => http.close() })
}

/** Lines go to the control thread, which writes the log of the process. */
function logTo(control: ThreadRpc<FromWriter, ToWriter>): Log {
  const write = (level: 'info' | 'warn' | 'error') => (event: string, fields?: Record<string, unknown>) =>
    control.notify('log', { level, event, fields })
  return { info: write('info'), warn: write('warn'), error: write('error') }
}

if (isMainThread || !parentPort) throw new Error('writer-thread is started by the gateway')
run(parentPort, workerData as WriterStart)
