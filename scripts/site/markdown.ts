/** A page of Markdown, read once for all who want to know of it: the check of links, the site, its search. */
import MarkdownIt, { type Token } from 'markdown-it'
import { createSlugger } from './slug.ts'

export interface Heading {
  /** 1 to 6. */
  readonly level: number
  /** Without markup. */
  readonly text: string
  readonly slug: string
}

export interface Link {
  /** As it is written, percent-encoding and all. */
  readonly target: string
  /** Of the block that it stands in, from 1. */
  readonly line: number
}

export interface MarkdownPage {
  /** The first heading. */
  readonly title: string
  readonly headings: readonly Heading[]
  /** Of text, images and HTML. */
  readonly links: readonly Link[]
  /** `[text][name]` of which nobody says where `name` is. */
  readonly undefinedReferences: readonly Link[]
  /** What is written as code within text: it may name a file. */
  readonly codes: readonly Link[]
  /** All that can be linked to: headings, and `id` or `name` in HTML. */
  readonly anchors: ReadonlySet<string>
  readonly tokens: readonly Token[]
}

/** GitHub's Markdown, as far as these pages need it. */
export const markdown = new MarkdownIt({ html: true, linkify: false, typographer: false })

export function readMarkdown(text: string): MarkdownPage {
  const tokens = markdown.parse(text, {})
  const slugger = createSlugger()
  const headings: Heading[] = []
  const links: Link[] = []
  const undefinedReferences: Link[] = []
  const codes: Link[] = []
  const anchors = new Set<string>()
  for (const [at, token] of tokens.entries()) {
    const line = (token.map?.[0] ?? 0) + 1
    for (const each of token.type === 'html_block' ? [token] : (token.children ?? [])) {
      for (const target of targetsOf(each)) links.push({ target, line })
      for (const id of idsOf(each)) anchors.add(id)
      if (each.type === 'code_inline') codes.push({ target: each.content, line })
      if (each.type === 'text')
        for (const [target] of each.content.matchAll(/\[[^\][]+\]\[[^\][]*\]/g))
          undefinedReferences.push({ target, line })
    }
    if (token.type !== 'heading_open') continue
    const heading = plainText(tokens[at + 1]?.children ?? [])
    const slug = slugger(heading)
    token.attrSet('id', slug)
    anchors.add(slug)
    headings.push({ level: Number(token.tag.slice(1)), text: heading, slug })
  }
  const title = headings[0]?.text ?? ''
  return { title, headings, links, undefinedReferences, codes, anchors, tokens }
}

/** What is read aloud of a line: no markup, and no descriptions of pictures. */
export function plainText(tokens: readonly Token[]): string {
  return tokens
    .map(({ type, content }) => {
      if (type === 'text' || type === 'code_inline') return content
      return type === 'softbreak' || type === 'hardbreak' ? ' ' : ''
    })
    .join('')
}

/** The attributes in which HTML names files; the site rewrites the same. */
export const HTML_TARGET = /\b(href|src|srcset)="([^"]*)"/g

function targetsOf(token: Token): string[] {
  if (token.type === 'link_open') return [attributeOf(token, 'href')]
  if (token.type === 'image') return [attributeOf(token, 'src')]
  if (!token.type.startsWith('html_')) return []
  return [...token.content.matchAll(HTML_TARGET)].map(([, , target = '']) => target)
}

/** Empty where it has none. */
export const attributeOf = (token: Token | undefined, name: string): string =>
  String(token?.attrGet(name) ?? '')

function idsOf(token: Token): string[] {
  if (!token.type.startsWith('html_')) return []
  return [...token.content.matchAll(/\b(?:id|name)="([^"]+)"/g)].map(([, id = '']) => id)
}
