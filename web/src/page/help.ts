/** The list of keys. */

import { button, h, key } from './dom';

/** The keys, for whoever asks. */
export function help(): HTMLDialogElement {
  const rows: [string[], string][] = [
    [['R'], 'run'],
    [['Esc'], 'cancel'],
    [['S'], 'save the result as NIfTI'],
    [['N'], 'next scan'],
    [['O'], 'open a file'],
    [['Space'], 'hold: before'],
    [['C'], 'hold: cubic'],
    [['D'], 'difference, and back'],
    [['U'], 'how sure it is, where it was asked for'],
    [['←', '→'], 'move the line'],
    [['↑', '↓'], 'next slice (Shift: ten)'],
    [['1', '2', '3'], 'axial, coronal, sagittal large'],
    [['+', '−', '0'], 'zoom in, out, fit'],
    [['W'], 'window from the scan'],
    [['I'], 'smooth between voxels'],
    [['X'], 'crosshair'],
  ];
  const mouse = [
    ['Wheel', 'zoom at the pointer'],
    ['Shift + wheel', 'slices'],
    ['Drag', 'crosshair, or the line'],
    ['Right drag', 'window and level'],
    ['Shift + drag', 'move the picture'],
    ['Double click', 'make a plane large'],
  ];
  const dialog: HTMLDialogElement = h(
    'dialog',
    { aria: { label: 'Keys' } },
    h('h2', {}, 'Keys and mouse'),
    h(
      'dl',
      {},
      ...rows.flatMap(([keys, words]) => [h('dt', {}, ...keys.map(key)), h('dd', {}, words)]),
      ...mouse.flatMap(([what, words]) => [h('dt', {}, what), h('dd', {}, words)]),
    ),
    h(
      'p',
      { className: 'soft' },
      h(
        'a',
        { href: 'notices.txt', target: '_blank', rel: 'noopener' },
        'Licences of what this page is made of',
      ),
    ),
    button('Close', () => dialog.close()),
  );
  return dialog;
}
