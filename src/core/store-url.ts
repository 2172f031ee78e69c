/**
 * The URLs of places where models are kept: what `models[].source` may be besides a path. A URL names its place alone;
 * how the place is reached, and as whom, is in the settings `stores`.
 */

export type StoreUrl =
  /** One file, at a URL as it is sent. */
  | { readonly type: 'https'; readonly url: string }
  /** `namenode` is `http(s)://host:port`; undefined: those of `stores.hdfs.namenodes`. */
  | { readonly type: 'hdfs'; readonly namenode: string | undefined; readonly path: string }
  /** `key` has no slash at either end. */
  | { readonly type: 's3'; readonly bucket: string; readonly key: string }

export type ReadStoreUrl = StoreUrl | { readonly problem: string }

/** The port of a NameNode's web server where the URL names none. */
const NAMENODE_PORT = { webhdfs: '9870', swebhdfs: '9871' }
const S3_BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/

/** Undefined: a path, or a `file:` URI. Otherwise the place, or what to change, as the end of a sentence. */
export function readStoreUrl(source: string): ReadStoreUrl | undefined {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]+):\/\//.exec(source)?.[1]?.toLowerCase()
  if (scheme === undefined || scheme === 'file') return undefined
  const read = READERS[scheme]
  if (!read)
    return { problem: `${scheme}:// is not read: write ${Object.keys(READERS).join('://, ')}:// or a path` }
  if (/[\s\\]/.test(source) || !URL.canParse(source)) return { problem: 'this is no URL' }
  const url = new URL(source)
  if (url.username !== '' || url.password !== '') return { problem: 'no credentials in a source: see stores' }
  if (/[?#]/.test(source)) return { problem: 'no query and no fragment in a source: it is shown and logged' }
  // A URL's parser resolves them, and the place would not be the one that is written.
  if (/\/(?:\.|%2e){1,2}(?:\/|$)/i.test(source)) return { problem: 'no "." and no ".." in a source' }
  return read(url)
}

/** True for what is not a path or a `file:` URI. */
export const isStoreUrl = (source: string): boolean => readStoreUrl(source) !== undefined

/** True for a file and not a directory of versions; HDFS tells itself. */
export const isFileName = (path: string): boolean => path.endsWith('.onnx')

const READERS: Readonly<Record<string, (url: URL) => ReadStoreUrl>> = {
  https: (url) => ({ type: 'https', url: url.href }),
  http: (url) => ({ type: 'https', url: url.href }),
  hdfs: (url) => hdfs(url, undefined),
  webhdfs: (url) => hdfs(url, `http://${hostOf(url, NAMENODE_PORT.webhdfs)}`),
  swebhdfs: (url) => hdfs(url, `https://${hostOf(url, NAMENODE_PORT.swebhdfs)}`),
  s3: readS3,
}

const hostOf = (url: URL, port: string): string => `${url.hostname}:${url.port === '' ? port : url.port}`

function hdfs(url: URL, namenode: string | undefined): ReadStoreUrl {
  const path = pathOf(url)
  if (path === undefined || path === '/') return { problem: 'it names no plain path, such as /models/ranker' }
  if (namenode !== undefined && url.hostname === '') return { problem: 'it names no host' }
  return { type: 'hdfs', namenode, path }
}

function readS3(url: URL): ReadStoreUrl {
  const path = pathOf(url)
  if (!S3_BUCKET.test(url.hostname)) return { problem: 'it names no bucket: write s3://BUCKET/PATH' }
  if (path === undefined || path === '/') return { problem: 'it names no path in the bucket' }
  return { type: 's3', bucket: url.hostname, key: path.slice(1) }
}

/** Decoded, without a slash at the end; undefined where a segment is empty, dots, or badly encoded. */
function pathOf({ pathname }: URL): string | undefined {
  try {
    const path = decodeURIComponent(pathname.replace(/\/+$/, ''))
    const isPlain = path
      .split('/')
      .slice(1)
      .every((each) => !['', '.', '..'].includes(each))
    return isPlain && !/[\0-\x1f\x7f]/.test(path) ? path || '/' : undefined
  } catch {
    return undefined
  }
}
