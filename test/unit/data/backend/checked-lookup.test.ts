import { lookup } from 'node:dns/promises'
import { expect, it } from 'vitest'
import { checkedLookup } from '../../../../src/data/backend/checked-lookup.ts'

const found = (refuse: (address: string) => string | undefined) =>
  new Promise<unknown>((resolve, reject) => {
    checkedLookup(refuse, 80)('localhost', { all: true }, (error, addresses) =>
      error ? reject(error) : resolve(addresses),
    )
  })

it('of the addresses of a name those are given that are not refused', async () => {
  const all = await lookup('localhost', { all: true })
  const last = all.at(-1)?.address
  expect(await found(() => undefined)).toEqual(all)
  const others = all.filter(({ address }) => address !== last)
  const asked = found((address) => (address === last ? 'it is the last' : undefined))
  if (others.length > 0) expect(await asked).toEqual(others)
  else await expect(asked).rejects.toMatchObject({ logged: expect.stringContaining('it is the last') })
})

it('a name all of whose addresses are refused is refused with the reason', async () => {
  await expect(found(() => 'nobody goes there')).rejects.toMatchObject({
    code: 'backendForbidden',
    // Callers are told no address; the reason is the log's.
    logged: expect.stringContaining('nobody goes there'),
  })
})
