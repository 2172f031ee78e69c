/** The WebHDFS client against NameNodes and a DataNode on real sockets, well-behaved and hostile. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { addressRefusal, createAddressRules } from '../../src/core/addresses.ts'
import { StoreError } from '../../src/store/error.ts'
import { StoreHttp } from '../../src/store/http.ts'
import { WebHdfs, type WebHdfsOptions } from '../../src/store/webhdfs.ts'
import { type HdfsCluster, listen, startHdfs } from '../support/webhdfs.ts'

const BYTES = Buffer.from('the bytes of a model')
const rules = createAddressRules()
const signal = AbortSignal.timeout(60_000)

let hdfs: HdfsCluster
let http: StoreHttp

beforeEach(async () => {
  hdfs = await startHdfs({ namenodes: 2 })
  http = new StoreHttp({ refuse: (ip, port) => addressRefusal(ip, port, rules), connectTimeoutMs: 2_000 })
})

afterEach(async () => {
  await http.close()
  await hdfs.close()
})

function client(options: Partial<WebHdfsOptions> = {}): WebHdfs {
  const { namenodes } = hdfs
  return new WebHdfs({ http, namenodes, dataNodes: [], user: 'ig', timeoutMs: 2_000, ...options })
}

async function bytesOf(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of body) parts.push(part)
  return Buffer.concat(parts)
}

const read = async (from: WebHdfs, path: string): Promise<Buffer> => bytesOf((await from.open(path)).body)

async function failure(promise: Promise<unknown>): Promise<StoreError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(StoreError)
  return error as StoreError
}

describe('files of HDFS', () => {
  it('are written in two steps, listed, read, renamed and deleted', async () => {
    const fs = client()
    await fs.mkdirs('/logs/a b')
    await fs.create('/logs/a b/.part', BYTES, { signal })
    expect(await read(fs, '/logs/a b/.part')).toEqual(BYTES)
    await fs.append('/logs/a b/.part', Buffer.from(' and more'), { signal })
    expect(await fs.rename('/logs/a b/.part', '/logs/a b/part')).toBe(true)
    expect(await fs.rename('/logs/a b/.part', '/logs/a b/part')).toBe(false)
    expect(await fs.list('/logs/a b')).toMatchObject([{ name: 'part', type: 'FILE', length: 29 }])
    expect(await fs.status('/logs/a b/part')).toMatchObject({ name: '', length: 29 })
    expect(await fs.delete('/logs', { recursive: true })).toBe(true)
    expect(await fs.status('/logs/a b/part')).toBeUndefined()
    expect(hdfs.asked).toContain('datanode PUT CREATE /logs/a b/.part')
  })

  it('are written from a stream', async () => {
    async function* parts(): AsyncGenerator<Buffer> {
      yield BYTES.subarray(0, 5)
      yield BYTES.subarray(5)
    }
    await client().create('/m/1/model.onnx', parts(), { signal })
    expect(hdfs.read('/m/1/model.onnx')).toEqual(BYTES)
  })

  it('are not overwritten unasked', async () => {
    hdfs.put('/a', BYTES)
    expect(await failure(client().create('/a', Buffer.from('x'), { signal }))).toMatchObject({
      fault: 'denied',
    })
    await client().create('/a', Buffer.from('x'), { signal, overwrite: true })
    expect(hdfs.read('/a')?.toString()).toBe('x')
  })

  it('have a checksum once they are whole', async () => {
    hdfs.put('/a', BYTES)
    hdfs.putOpen('/b', BYTES)
    expect(await client().checksum('/a')).toMatchObject({ algorithm: 'MD5-of-0MD5-of-512CRC32C' })
    expect(await failure(client().checksum('/b'))).toMatchObject({ fault: 'incomplete' })
    hdfs.hasChecksums = false
    expect(await client().checksum('/a')).toBeUndefined()
  })

  it('are asked for with a token in place of the user, read anew each time, and no message has it', async () => {
    let token = 'ONE'
    const fs = client({ token: () => Promise.resolve(token) })
    await fs.status('/a')
    token = 'TWO'
    const { message } = await failure(fs.list('/a'))
    expect(hdfs.targets[0]).toContain('delegation=ONE')
    expect(hdfs.targets.at(-1)).toContain('delegation=TWO')
    expect(hdfs.targets.join()).not.toContain('user.name')
    expect(message).not.toContain('TWO')
  })

  it.each(['relative', '/a//b', '/a/../b', '/a/./b', '/a\nb', '/a/'])('has no path like %j', async (path) => {
    expect(await failure(client().status(path))).toMatchObject({ fault: 'invalid' })
    expect(hdfs.asked).toEqual([])
  })
})

describe('several NameNodes', () => {
  it('are tried in order, and the one that is active is asked first from then on', async () => {
    hdfs.put('/a', BYTES)
    hdfs.active = 1
    const fs = client()
    expect(await read(fs, '/a')).toEqual(BYTES)
    await fs.status('/a')
    expect(hdfs.asked.slice(0, 2)).toEqual(['namenode 0 GET OPEN /a', 'namenode 1 GET OPEN /a'])
    expect(hdfs.asked.at(-1)).toBe('namenode 1 GET GETFILESTATUS /a')
  })

  it('are passed over where nobody listens, also by what must not be sent twice', async () => {
    hdfs.put('/a', BYTES)
    const [alive = ''] = hdfs.namenodes
    const fs = client({ namenodes: ['http://127.0.0.1:1', alive] })
    expect(await fs.rename('/a', '/b')).toBe(true)
  })

  it('are not both sent a rename whose answer was lost', async () => {
    hdfs.put('/a', BYTES)
    hdfs.nameNodeTrouble = (request) => {
      request.socket.destroy()
      return true
    }
    expect(await failure(client().rename('/a', '/b'))).toMatchObject({ fault: 'unreachable' })
    expect(hdfs.asked).toHaveLength(1)
  })

  it('are all standbys: it is said', async () => {
    hdfs.active = 7
    const { fault, message } = await failure(client().list('/'))
    expect(fault).toBe('unreachable')
    expect(message).toContain('StandbyException')
  })
})

describe('hostile answers', () => {
  it('do not lead to another host', async () => {
    hdfs.put('/a', BYTES)
    hdfs.redirect = (location) => location.replace('127.0.0.1', 'localhost')
    expect(await failure(client().open('/a'))).toMatchObject({ fault: 'invalid' })
    expect(await read(client({ dataNodes: ['localhost'] }), '/a')).toEqual(BYTES)
  })

  it('do not lead to a metadata address, even where it is in dataNodes', async () => {
    hdfs.put('/a', BYTES)
    hdfs.redirect = (location) => location.replace(/127\.0\.0\.1:\d+/, '169.254.169.254')
    const { message } = await failure(client({ dataNodes: ['169.254.0.0/16'] }).open('/a'))
    expect(message).toContain('a cloud metadata address')
  })

  it('do not redirect twice', async () => {
    hdfs.put('/a', BYTES)
    hdfs.dataNodeTrouble = (request, response) => {
      response.writeHead(307, { location: `${hdfs.dataNode}${request.url}` }).end()
      return true
    }
    expect(await failure(client().open('/a'))).toMatchObject({ fault: 'invalid' })
    expect(hdfs.asked).toHaveLength(2)
  })

  it('do not fill the memory with a listing', async () => {
    hdfs.nameNodeTrouble = (_, response) => {
      const part = `${JSON.stringify({ pathSuffix: '1', type: 'FILE' })},`.repeat(1000)
      const more = (): void => {
        while (!response.destroyed && response.write(part));
        response.once('drain', more)
      }
      response.writeHead(200)
      more()
      return true
    }
    expect(await failure(client().list('/'))).toMatchObject({ fault: 'tooLarge' })
  })

  it('do not keep it waiting: neither a NameNode that is silent nor an answer that drips', async () => {
    hdfs.nameNodeTrouble = () => true
    const [only = ''] = hdfs.namenodes
    expect(await failure(client({ namenodes: [only], timeoutMs: 50 }).list('/'))).toMatchObject({
      fault: 'unreachable',
    })
    const drip = await listen((_, response) => {
      const timer = setInterval(() => response.write(' '), 5)
      response.on('close', () => clearInterval(timer))
    })
    const { message } = await failure(client({ namenodes: [drip.url], timeoutMs: 100 }).list('/'))
    expect(message).toContain('no complete answer within 100 ms')
    await drip.close()
  })

  it.each([['{'], ['{}'], ['[]'], ['{"FileStatuses":{"FileStatus":[{"pathSuffix":1}]}}']])(
    'are not taken for a listing: %s',
    async (body) => {
      hdfs.nameNodeTrouble = (_, response) => {
        response.end(body)
        return true
      }
      expect(await failure(client().list('/'))).toMatchObject({ fault: 'invalid' })
    },
  )

  it('that break off in a body are faults of the read', async () => {
    hdfs.put('/a', BYTES)
    hdfs.dataNodeTrouble = (_, response) => {
      response.writeHead(200, { 'content-length': '100' }).write('short')
      setImmediate(() => response.destroy())
      return true
    }
    expect(await failure(read(client(), '/a'))).toMatchObject({ fault: 'unreachable' })
  })
})
