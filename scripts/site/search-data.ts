/** What the search of the site looks in: the text of each section, so that a find leads to its heading. */
import type { Token } from 'markdown-it'
import { attributeOf, type MarkdownPage, plainText } from './markdown.ts'

export interface Section {
  /** Place in the site, with the anchor. */
  readonly href: string
  /** Title of the page. */
  readonly page: string
  /** Empty for what stands under the title. */
  readonly heading: string
  readonly text: string
}

/** In the order of the page. `place`: of the page in the site. */
export function sectionsOf(page: MarkdownPage, place: string): Section[] {
  const sections: { href: string; page: string; heading: string; text: string }[] = []
  let current = { href: place, page: page.title, heading: '', text: '' }
  for (const [at, token] of page.tokens.entries()) {
    if (token.type === 'heading_open') {
      if (current.text.trim() !== '') sections.push(current)
      const heading = plainText(page.tokens[at + 1]?.children ?? [])
      const isTitle = heading === page.title && sections.length === 0
      const href = isTitle ? place : `${place}#${encodeURIComponent(attributeOf(token, 'id'))}`
      current = { href, page: page.title, heading: isTitle ? '' : heading, text: '' }
    } else if (page.tokens[at - 1]?.type !== 'heading_open') current.text += textOf(token)
  }
  sections.push(current)
  return sections
    .map((section) => ({ ...section, text: section.text.replaceAll(/\s+/g, ' ').trim() }))
    .filter(({ text, heading }) => text !== '' || heading !== '')
}

function textOf(token: Token): string {
  if (token.type === 'inline') return `${plainText(token.children ?? [])} `
  return token.type === 'fence' || token.type === 'code_block' ? `${token.content} ` : ''
}
