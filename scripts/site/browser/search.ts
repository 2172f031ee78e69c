/** The search: an index that is made in the browser, of the sections of all pages, when somebody first wants it. */
import MiniSearch, { type SearchResult } from 'minisearch'

interface Section {
  readonly href: string
  readonly page: string
  readonly heading: string
  readonly text: string
}

type Found = SearchResult & Section

const SHOWN = 12
const AROUND = 90

declare global {
  var searchData: readonly Section[] | undefined
}

const root = document.documentElement.dataset['root'] ?? ''

export function offerSearch(): void {
  const box = document.querySelector<HTMLElement>('.search')
  const input = document.querySelector<HTMLInputElement>('#search')
  const list = document.querySelector<HTMLOListElement>('#results')
  if (!box || !input || !list) return
  box.hidden = false
  let index: Promise<MiniSearch<Section>> | undefined
  const ready = () => (index ??= loadIndex())
  const results = resultList(input, list)

  input.addEventListener('focus', () => void ready())
  input.addEventListener('input', () => void look())
  input.addEventListener('keydown', (event) => {
    if (event.key === 'ArrowDown') results.move(1)
    else if (event.key === 'ArrowUp') results.move(-1)
    else if (event.key === 'Enter') results.go()
    else if (event.key === 'Escape') results.show([])
    else return
    event.preventDefault()
  })
  document.addEventListener('click', (event) => {
    if (!box.contains(event.target as Node)) results.show([])
  })
  document.addEventListener('keydown', (event) => {
    const isTyping = event.target instanceof HTMLInputElement
    if (event.key !== '/' || isTyping || event.ctrlKey || event.metaKey || event.altKey) return
    event.preventDefault()
    input.focus()
  })

  async function look(): Promise<void> {
    const wanted = input?.value.trim() ?? ''
    const found = wanted === '' ? [] : (await ready()).search(wanted)
    // Somebody may have typed on while it was loaded.
    if (wanted === input?.value.trim()) results.show(found.slice(0, SHOWN) as Found[])
  }
}

async function loadIndex(): Promise<MiniSearch<Section>> {
  const script = document.createElement('script')
  script.src = `${root}assets/search-data.js`
  const loaded = new Promise((resolve, reject) => {
    script.addEventListener('load', resolve)
    script.addEventListener('error', () => reject(new Error(`${script.src} cannot be loaded`)))
  })
  document.head.append(script)
  await loaded
  const index = new MiniSearch<Section>({
    idField: 'href',
    fields: ['page', 'heading', 'text'],
    storeFields: ['href', 'page', 'heading', 'text'],
    // Names of settings and metrics are found by each of their words, and whole.
    tokenize: (text) => [
      ...text.split(/[\s,;:()[\]{}"'`<>|]+/).filter(Boolean),
      ...text.split(/[^\p{L}\p{N}]+/u).filter(Boolean),
    ],
    searchOptions: {
      boost: { page: 2, heading: 3 },
      prefix: true,
      fuzzy: (term) => (term.length > 4 ? 0.2 : false),
      // What was written counts for more than what begins like it, and that for more than what looks like it.
      weights: { prefix: 0.3, fuzzy: 0.05 },
      combineWith: 'AND',
    },
  })
  index.addAll(globalThis.searchData ?? [])
  return index
}

function resultList(input: HTMLInputElement, list: HTMLOListElement) {
  let at = -1

  function show(found: readonly Found[]): void {
    const isNothing = found.length === 0 && input.value.trim() !== '' && document.activeElement === input
    list.replaceChildren(...found.map(item))
    if (isNothing) list.append(Object.assign(document.createElement('li'), { textContent: 'Nothing found' }))
    list.hidden = list.childElementCount === 0
    input.setAttribute('aria-expanded', String(!list.hidden))
    at = -1
    move(found.length > 0 ? 1 : 0)
  }

  function move(by: number): void {
    const links = [...list.querySelectorAll('a')]
    if (links.length === 0) return
    links[at]?.removeAttribute('aria-selected')
    at = (at + by + links.length) % links.length
    links[at]?.setAttribute('aria-selected', 'true')
    links[at]?.scrollIntoView({ block: 'nearest' })
    input.setAttribute('aria-activedescendant', `result-${at}`)
  }

  function go(): void {
    list.querySelectorAll('a')[at]?.click()
  }

  return { show, move, go }
}

function item(found: Found, at: number): HTMLLIElement {
  const link = document.createElement('a')
  link.href = root + found.href
  link.id = `result-${at}`
  link.setAttribute('role', 'option')
  const title = document.createElement('strong')
  title.textContent = found.heading ? `${found.page} › ${found.heading}` : found.page
  const text = document.createElement('span')
  text.append(...marked(found.text, found.terms))
  link.append(title, text)
  const line = document.createElement('li')
  line.append(link)
  return line
}

/** The text around the first of the terms, with all of them marked. */
function marked(text: string, terms: readonly string[]): (string | HTMLElement)[] {
  const low = text.toLowerCase()
  const places = terms.map((term) => low.indexOf(term)).filter((place) => place >= 0)
  const from = Math.max(0, Math.min(...places, text.length) - AROUND)
  const start = places.length === 0 ? 0 : from
  const piece = text.slice(start, start + 2 * AROUND)
  const words = terms.map((term) => term.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  const parts = words.length === 0 ? [piece] : piece.split(new RegExp(`(${words.join('|')})`, 'gi'))
  return [
    start > 0 ? '… ' : '',
    ...parts.map((part, at) => {
      if (at % 2 === 0) return part
      return Object.assign(document.createElement('mark'), { textContent: part })
    }),
  ]
}
