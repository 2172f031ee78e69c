/** From a source's URL and the settings to the store that it names. */

import { HostSet } from '../core/host-set.ts'
import type { StoreUrl } from '../core/store-url.ts'
import { readSecret } from '../lib/regular-file.ts'
import { HdfsStore } from './hdfs-store.ts'
import { StoreHttp, type StoreHttpOptions } from './http.ts'
import { HttpsStore } from './https-store.ts'
import type { ModelStore } from './model-store.ts'

/** The settings `stores`, as far as the far sides go. */
export interface StoresOptions {
  readonly timeout: number
  readonly maxVersions: number
  readonly https: { readonly redirects: readonly string[] }
  readonly hdfs: {
    readonly namenodes: readonly string[]
    readonly user?: string
    readonly tokenFile?: string
    readonly dataNodes: readonly string[]
  }
  readonly s3: { readonly endpoint?: string; readonly region?: string; readonly pathStyle?: boolean }
}

const CONNECT_MS = 5_000

export async function openModelStore(
  url: StoreUrl,
  options: StoresOptions,
  refuse: StoreHttpOptions['refuse'],
): Promise<ModelStore> {
  const { timeout: timeoutMs, maxVersions } = options
  const connectTimeoutMs = Math.min(CONNECT_MS, timeoutMs)
  if (url.type === 's3') {
    const { openS3Store } = await import('./s3-store.ts')
    return await openS3Store({ ...url, ...options.s3, maxVersions, timeoutMs, connectTimeoutMs })
  }
  const http = new StoreHttp({ refuse, connectTimeoutMs })
  if (url.type === 'https') {
    return new HttpsStore({ http, url: url.url, redirects: new HostSet(options.https.redirects), timeoutMs })
  }
  const { namenodes, user, tokenFile, dataNodes } = options.hdfs
  return new HdfsStore({
    http,
    path: url.path,
    namenodes: url.namenode === undefined ? namenodes : [url.namenode],
    dataNodes,
    ...(user === undefined ? {} : { user }),
    ...(tokenFile === undefined ? {} : { token: () => readSecret(tokenFile) }),
    timeoutMs,
    maxVersions,
  })
}
