/** What a store lists never leads out of the folder of its model, whatever it is. */
import { basename, join, normalize, sep } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readStoreUrl } from '../../src/core/store-url.ts'
import { versionNames } from '../../src/store/model-store.ts'

const hostile = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.stringMatching(/^[0-9./\\% -]{0,12}$/),
  fc.constantFrom('..', '../1', '1/..', './1', '1\0', '1\n', '%2e%2e', '٣', '１', '+1', '1e3', '0x1', '01'),
  fc.bigInt({ min: 0n, max: 10n ** 20n }).map(String),
)

describe('the names that a store lists', () => {
  it('become versions only where they are one number, one folder, and in their order', () => {
    fc.assert(
      fc.property(fc.array(hostile), fc.nat({ max: 20 }), (names, max) => {
        const versions = versionNames(names, max)
        expect(versions.length).toBeLessThanOrEqual(max)
        expect(new Set(versions).size).toBe(versions.length)
        for (const version of versions) {
          expect(names).toContain(version)
          expect(String(BigInt(version))).toBe(version)
          const path = join(sep, 'models', 'm', version)
          expect(normalize(path)).toBe(path)
          expect(basename(path)).toBe(version)
        }
        const sorted = versions.map(BigInt).toSorted((a, b) => (a < b ? 1 : -1))
        expect(versions.map(BigInt)).toEqual(sorted)
      }),
    )
  })
})

describe('the URL of a source', () => {
  it('is read or refused, never half, and a path of HDFS or S3 has no dots as a segment', () => {
    const urls = fc.oneof(
      fc.webUrl(),
      fc
        .tuple(
          fc.constantFrom('s3', 'hdfs', 'webhdfs', 'swebhdfs', 'gs', 'HDFS', 'WebHDFS'),
          fc.domain(),
          fc.string({ unit: 'binary' }),
        )
        .map(([scheme, host, path]) => `${scheme}://${host}/${path}`),
      fc.constantFrom(
        's3://bucket/a/%2e%2e/b',
        'hdfs:///a/../b',
        'webhdfs://h/a/%2E./b',
        'webhdfs://h/a%2f..%2fb',
      ),
    )
    fc.assert(
      fc.property(urls, (text) => {
        const url = readStoreUrl(text)
        if (!url || 'problem' in url || url.type === 'https') return
        const path = url.type === 'hdfs' ? url.path : `/${url.key}`
        const segments = path.split('/').slice(1)
        expect(segments.some((each) => ['', '.', '..'].includes(each))).toBe(false)
      }),
    )
  })
})
