// A model folder may be dropped anywhere on the page: the whole page says so while one is held over it.
import { useEffect, useState } from 'preact/hooks';
import { filesOfDrop } from '../engine/folder';
import { takeFiles, way } from '../state/picker';
import { address } from '../state/url';

function holdsFiles(event: DragEvent): boolean {
  return event.dataTransfer?.types.includes('Files') ?? false;
}

function take(transfer: DataTransfer): void {
  const found = filesOfDrop(transfer); // begun within the event
  way.value = 'device';
  window.location.hash = address('model');
  void takeFiles(found);
}

export function DropTarget() {
  const [held, setHeld] = useState(false);
  useEffect(() => {
    const over = (event: DragEvent) => {
      if (!holdsFiles(event)) return;
      event.preventDefault();
      setHeld(true);
    };
    const leave = (event: DragEvent) => {
      if (event.relatedTarget === null) setHeld(false);
    };
    const drop = (event: DragEvent) => {
      setHeld(false);
      if (event.defaultPrevented || !holdsFiles(event) || !event.dataTransfer) return;
      event.preventDefault();
      take(event.dataTransfer);
    };
    document.addEventListener('dragover', over);
    document.addEventListener('dragleave', leave);
    document.addEventListener('drop', drop);
    return () => {
      document.removeEventListener('dragover', over);
      document.removeEventListener('dragleave', leave);
      document.removeEventListener('drop', drop);
    };
  }, []);
  return held ? (
    <div class="drop-over" role="status">
      <p>Drop the folder of a BERT to load it</p>
    </div>
  ) : null;
}
