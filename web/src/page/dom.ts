/** Elements, in one line each. */

type Child = Node | string | false | null | undefined;
type Given<Tag extends keyof HTMLElementTagNameMap> = Partial<
  Omit<HTMLElementTagNameMap[Tag], 'style' | 'children'>
> & { data?: Record<string, string>; aria?: Record<string, string> };

/** An element with properties, `data-` and `aria-` attributes, and what is in it. */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  given: Given<Tag> = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const { data = {}, aria = {}, ...properties } = given;
  const element = Object.assign(document.createElement(tag), properties);
  Object.assign(element.dataset, data);
  for (const [name, value] of Object.entries(aria)) element.setAttribute(`aria-${name}`, value);
  element.append(...children.filter((child) => child !== false && child != null));
  return element;
}

/** A button; the second click of a double click is none, as what lies there may have changed. */
export function button(
  words: string,
  act: () => unknown,
  given: Given<'button'> = {},
  ...children: Child[]
): HTMLButtonElement {
  const onclick = ({ detail }: MouseEvent): void => void (detail > 1 || act());
  return h('button', { type: 'button', onclick, ...given }, words, ...children);
}

export const key = (name: string): HTMLElement => h('kbd', {}, name);

/** Choices of which one is taken, in the form of the reports. */
export function segments(
  legend: string,
  name: string,
  choices: readonly { value: string; words: string; hint?: string }[],
  choose: (value: string) => void,
): HTMLFieldSetElement {
  const labels = choices.map(({ value, words, hint }) =>
    h(
      'label',
      { title: hint ?? '' },
      h('input', { type: 'radio', name, value, onchange: () => choose(value) }),
      h('span', {}, words),
    ),
  );
  return h('fieldset', { className: 'segments' }, h('legend', {}, legend), ...labels);
}

/** Check the radio button of a value among those in an element. */
export function check(within: HTMLElement, value: string): void {
  for (const input of within.querySelectorAll('input')) input.checked = input.value === value;
}
