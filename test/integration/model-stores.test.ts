/** Every kind of store against a small real server of its protocol. */
import { createHash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { HostSet } from '../../src/core/host-set.ts'
import { HdfsStore } from '../../src/store/hdfs-store.ts'
import { StoreHttp } from '../../src/store/http.ts'
import { HttpsStore } from '../../src/store/https-store.ts'
import type { ModelStore } from '../../src/store/model-store.ts'
import { openS3Store } from '../../src/store/s3-store.ts'
import { type FileServer, startFileServer } from '../support/file-server.ts'
import { type FarSide, modelStoreContract, readAll } from '../support/model-store-contract.ts'
import { type S3Server, startS3 } from '../support/s3.ts'
import { type HdfsCluster, startHdfs } from '../support/webhdfs.ts'

const signal = AbortSignal.timeout(120_000)
const timeoutMs = 2_000
const client = () => new StoreHttp({ refuse: () => undefined, connectTimeoutMs: 2_000 })

const hangUp = (request: IncomingMessage): boolean => {
  request.socket.destroy()
  return true
}

/** Half of what was promised, then the end of the connection. */
const breakOff = (response: ServerResponse): boolean => {
  response.writeHead(200, { 'content-length': 200_000 }).write(Buffer.alloc(100_000, 'x'))
  setImmediate(() => response.destroy())
  return true
}

function hdfsStore(hdfs: HdfsCluster, path = '/models/m'): ModelStore {
  const { namenodes } = hdfs
  return new HdfsStore({ http: client(), path, namenodes, dataNodes: [], timeoutMs, maxVersions: 16 })
}

async function hdfsSide(): Promise<FarSide> {
  const hdfs = await startHdfs()
  const store = hdfsStore(hdfs)
  const file = (version: string): string => `/models/m/${version}/model.onnx`
  return {
    store,
    put: (version, bytes) => hdfs.put(file(version), bytes),
    remove: (version) => hdfs.remove(file(version)),
    goAway: () => {
      hdfs.nameNodeTrouble = hangUp
    },
    comeBack: () => {
      hdfs.nameNodeTrouble = undefined
    },
    truncateOnce: () => {
      hdfs.dataNodeTrouble = (request, response) => {
        if (!request.url?.includes('op=OPEN')) return false
        hdfs.dataNodeTrouble = undefined
        return breakOff(response)
      }
    },
    close: async () => {
      await store.close()
      await hdfs.close()
    },
  }
}

async function s3Store(s3: S3Server): Promise<ModelStore> {
  process.env['AWS_ACCESS_KEY_ID'] ??= 'test'
  process.env['AWS_SECRET_ACCESS_KEY'] ??= 'test'
  return await openS3Store({
    bucket: 'bucket',
    key: 'models/m',
    endpoint: s3.url,
    region: 'us-east-1',
    maxVersions: 16,
    timeoutMs,
    connectTimeoutMs: timeoutMs,
  })
}

async function s3Side(): Promise<FarSide> {
  const s3 = await startS3('bucket')
  const store = await s3Store(s3)
  const key = (version: string): string => `models/m/${version}/model.onnx`
  return {
    store,
    put: (version, bytes) => s3.put(key(version), bytes),
    remove: (version) => s3.remove(key(version)),
    goAway: () => {
      s3.trouble = hangUp
    },
    comeBack: () => {
      s3.trouble = undefined
    },
    truncateOnce: () => {
      s3.trouble = ({ method, url }, response) => {
        if (method !== 'GET' || url?.includes('list-type')) return false
        s3.trouble = undefined
        return breakOff(response)
      }
    },
    close: async () => {
      await store.close()
      await s3.close()
    },
  }
}

const httpsStore = (url: string, redirects: readonly string[] = []): ModelStore =>
  new HttpsStore({ http: client(), url, redirects: new HostSet(redirects), timeoutMs })

async function httpsSide(): Promise<FarSide> {
  const files = await startFileServer()
  const store = httpsStore(`${files.url}/m.onnx`)
  return {
    store,
    put: (_, bytes) => files.put('/m.onnx', bytes),
    remove: () => files.remove('/m.onnx'),
    goAway: () => {
      files.trouble = hangUp
    },
    comeBack: () => {
      files.trouble = undefined
    },
    truncateOnce: () => {
      // The look at the versions goes before.
      let gets = 0
      files.trouble = (_, response) => {
        if (++gets < 2) return false
        files.trouble = undefined
        return breakOff(response)
      }
    },
    close: async () => {
      await store.close()
      await files.close()
    },
  }
}

describe('a store in HDFS', () => {
  modelStoreContract(hdfsSide, { versions: true })
})
describe('a store in S3', () => {
  modelStoreContract(s3Side, { versions: true })
})
describe('a store at a URL', () => {
  modelStoreContract(httpsSide, { versions: false })
})

describe('a file in HDFS', () => {
  let hdfs: HdfsCluster
  let store: ModelStore
  beforeEach(async () => {
    hdfs = await startHdfs()
    store = hdfsStore(hdfs)
  })
  afterEach(async () => {
    await store.close()
    await hdfs.close()
  })

  it('is not opened while a writer has it open', async () => {
    hdfs.putOpen('/models/m/1/model.onnx', Buffer.from('half of it'))
    const [found] = await store.versions(new Map(), signal)
    await expect(found && store.open(found, signal)).rejects.toMatchObject({ fault: 'incomplete' })
    hdfs.put('/models/m/1/model.onnx', Buffer.from('half of it, and the rest'))
    const [whole] = await store.versions(new Map(), signal)
    const download = whole && (await store.open(whole, signal))
    expect(download && (await readAll(download.body)).toString()).toBe('half of it, and the rest')
  })

  it('is not confirmed where it was replaced while it was read', async () => {
    hdfs.put('/models/m/1/model.onnx', Buffer.from('one'))
    const [found] = await store.versions(new Map(), signal)
    const download = found && (await store.open(found, signal))
    hdfs.put('/models/m/1/model.onnx', Buffer.from('two'))
    await expect(download?.confirm()).rejects.toMatchObject({ fault: 'incomplete' })
    download?.close()
  })

  it('must be the same in two looks where the server keeps no checksums', async () => {
    hdfs.hasChecksums = false
    hdfs.put('/models/m/1/model.onnx', Buffer.from('one'))
    const [first] = await store.versions(new Map(), signal)
    await expect(first && store.open(first, signal)).rejects.toMatchObject({ fault: 'incomplete' })
    const [second] = await store.versions(new Map(), signal)
    const download = second && (await store.open(second, signal))
    expect(download && (await readAll(download.body)).toString()).toBe('one')
  })

  it('is no version under the name that hadoop fs -put writes to, nor before its first byte', async () => {
    hdfs.put('/models/m/1/model.onnx._COPYING_', Buffer.from('half'))
    hdfs.put('/models/m/2/model.onnx', Buffer.alloc(0))
    hdfs.put('/models/m/3', Buffer.from('a file in place of a directory'))
    expect(await store.versions(new Map(), signal)).toEqual([])
  })

  it('may be the source itself', async () => {
    hdfs.put('/models/one.onnx', Buffer.from('one'))
    const single = hdfsStore(hdfs, '/models/one.onnx')
    const [found] = await single.versions(new Map(), signal)
    expect(found?.version).toBe('1')
    const download = found && (await single.open(found, signal))
    expect(download && (await readAll(download.body)).toString()).toBe('one')
    await single.close()
  })
})

describe('a listing of S3', () => {
  it('may have many pages, but not endless ones', async () => {
    const s3 = await startS3('bucket')
    const store = await s3Store(s3)
    s3.pageLength = 2
    for (let n = 1; n <= 7; n++) s3.put(`models/m/${n}/model.onnx`, Buffer.from(`${n}`))
    const found = await store.versions(new Map(), signal)
    expect(found.map(({ version }) => version)).toEqual(['7', '6', '5', '4', '3', '2', '1'])
    for (let n = 8; n <= 30; n++) s3.put(`models/m/${n}/model.onnx`, Buffer.from(`${n}`))
    await expect(store.versions(new Map(), signal)).rejects.toMatchObject({ fault: 'tooLarge' })
    await store.close()
    await s3.close()
  })
})

describe('a file at a URL', () => {
  let files: FileServer
  beforeEach(async () => {
    files = await startFileServer()
    files.put('/m.onnx', Buffer.from('one'))
  })
  afterEach(() => files.close())

  const marks = async (store: ModelStore, known: ReadonlyMap<string, string> = new Map()) =>
    new Map((await store.versions(known, signal)).map(({ version, mark }) => [version, mark]))

  it.each(['etag', 'last-modified'] as const)('that is unchanged costs a 304 by %s', async (validators) => {
    files.validators = validators
    const store = httpsStore(`${files.url}/m.onnx`)
    const known = await marks(store)
    expect(await marks(store, known)).toEqual(known)
    expect(files.answered.at(-1)).toBe('GET /m.onnx 304')
    await store.close()
  })

  it('is asked for once where the server has no validators', async () => {
    files.validators = 'none'
    const store = httpsStore(`${files.url}/m.onnx`)
    const known = await marks(store)
    files.put('/m.onnx', Buffer.from('two'))
    expect(await marks(store, known)).toEqual(known)
    await store.close()
  })

  it('has the SHA-256 that Repr-Digest says', async () => {
    files.fields = (bytes) => ({
      'repr-digest': `sha-512=:AA==:, sha-256=:${createHash('sha256').update(bytes).digest('base64')}:`,
    })
    const store = httpsStore(`${files.url}/m.onnx`)
    const [found] = await store.versions(new Map(), signal)
    const download = found && (await store.open(found, signal))
    expect(download?.sha256).toBe(createHash('sha256').update('one').digest('hex'))
    download?.close()
    await store.close()
  })

  it('may have moved on the same host, or to hosts of the settings, and not to others', async () => {
    files.trouble = ({ url }, response) => {
      if (url === '/m.onnx') return false
      const [, to = ''] = /^\/to\/(.*)$/.exec(url ?? '') ?? []
      response.writeHead(302, { location: to === '' ? '/m.onnx' : `${decodeURIComponent(to)}/m.onnx` }).end()
      return true
    }
    const other = files.url.replace('127.0.0.1', 'localhost')
    const moved = async (redirects: readonly string[], to: string): Promise<unknown> => {
      const store = httpsStore(`${files.url}/to/${encodeURIComponent(to)}`, redirects)
      try {
        return await store.versions(new Map(), signal)
      } finally {
        await store.close()
      }
    }
    expect(await moved([], '')).toHaveLength(1)
    expect(await moved(['localhost'], other)).toHaveLength(1)
    await expect(moved([], other)).rejects.toMatchObject({ fault: 'invalid' })
    await expect(moved([], 'ftp://127.0.0.1')).rejects.toMatchObject({ fault: 'invalid' })
    await expect(moved([], `http://u:p@127.0.0.1`)).rejects.toMatchObject({ fault: 'invalid' })
  })

  it('is not redirected without end', async () => {
    files.trouble = (_, response) => {
      response.writeHead(307, { location: '/again' }).end()
      return true
    }
    const store = httpsStore(`${files.url}/m.onnx`)
    await expect(store.versions(new Map(), signal)).rejects.toThrow('more than 5 redirects')
    await store.close()
  })

  it.each<[string, string, string]>([
    [
      'interim answers without end',
      'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(40),
      'more than 16 interim answers',
    ],
    ['100 without end', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(40), 'more than 16 interim answers'],
    [
      'a transfer coding unasked',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
      'a coding that was not asked for',
    ],
    [
      'a length that is none',
      'HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc',
      'does not match the HTTP/1.1',
    ],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabc', 'ength'],
    ['no HTTP', '\x00\x01\r\n\r\n', 'does not match the HTTP/1.1'],
    ['a 304 to no condition', 'HTTP/1.1 304 Not Modified\r\n\r\n', 'status 304'],
    ['another protocol', 'HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n', 'bad upgrade'],
    [
      'a redirect to a file',
      'HTTP/1.1 302 F\r\nLocation: file:///m\r\nContent-Length: 0\r\n\r\n',
      'no plain URL',
    ],
  ])('is not %s', async (_name, bytes, why) => {
    files.trouble = ({ socket }) => {
      socket.write(bytes, 'latin1')
      return true
    }
    const store = httpsStore(`${files.url}/m.onnx`)
    await expect(store.versions(new Map(), signal)).rejects.toThrow(why)
    await store.close()
  })

  it.each([
    [401, 'denied'],
    [206, 'invalid'],
    [503, 'unreachable'],
  ])('is not what comes with status %d', async (status, fault) => {
    files.trouble = (_, response) => {
      response.writeHead(status).end('x')
      return true
    }
    const store = httpsStore(`${files.url}/m.onnx`)
    await expect(store.versions(new Map(), signal)).rejects.toMatchObject({ fault })
    await store.close()
  })
})
