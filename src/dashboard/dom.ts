/** Makes elements. Whatever comes from outside enters as text, so nothing that anybody names can become markup. */

import { plain } from './format.ts'
import type { StateKind } from './states.ts'

export type Child = Node | string | undefined

interface Properties {
  readonly class?: string
  readonly text?: string
  readonly title?: string
  readonly on?: Readonly<Record<string, (event: Event) => void>>
  /** Attributes of fixed names. */
  readonly [attribute: string]: unknown
}

/** An element with attributes, listeners and children. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Properties = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag)
  const { class: name, text, on = {}, ...attributes } = properties
  if (name !== undefined) element.className = name
  if (text !== undefined) element.textContent = text
  for (const [type, listener] of Object.entries(on)) element.addEventListener(type, listener)
  for (const [attribute, value] of Object.entries(attributes))
    if (value !== undefined && value !== false)
      element.setAttribute(attribute, value === true ? '' : plain(value))
  element.append(...children.filter((child) => child !== undefined))
  return element
}

/** Changes the text only where it is another one, which costs the browser nothing otherwise. */
export function setText(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text
}

export function setClass(element: HTMLElement, name: string): void {
  if (element.className !== name) element.className = name
}

export function setTitle(element: HTMLElement, title: string): void {
  if (element.title !== title) element.title = title
}

/** Makes these the children, and leaves those alone that are in their place already. */
export function setChildren(parent: HTMLElement, children: readonly Node[]): void {
  children.forEach((child, at) => {
    const present = parent.childNodes[at]
    if (present !== child) parent.insertBefore(child, present ?? null)
  })
  while (parent.childNodes.length > children.length) parent.lastChild?.remove()
}

/** A state in a word, with a mark whose shape tells it as well as its colour. */
export function badge(state: string, kind: StateKind, title?: string): HTMLElement {
  return el('span', { class: `badge ${kind}`, ...(title === undefined ? {} : { title }) }, state)
}

/** A part of the page with a heading. */
export function panel(title: string, ...children: readonly Child[]): HTMLElement {
  return el('section', { class: 'panel' }, el('h2', { text: title }), ...children)
}
