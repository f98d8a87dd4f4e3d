// One picture from the camera. The video stays in the browser; only the picture is sent.

/**
 * Let the dialog of the camera work.
 * @param {(file: File) => void} taken called with the picture
 * @param {(message: string) => void} failed called with a sentence
 */
export function setUpCamera(taken, failed) {
  const dialog = document.getElementById("camera");
  const video = document.getElementById("video");
  const take = document.getElementById("take");
  let stream = null;

  function stop() {
    for (const track of stream?.getTracks() ?? []) track.stop();
    stream = null;
    video.srcObject = null;
    take.disabled = true;
  }

  document.getElementById("open-camera").addEventListener("click", async () => {
    if (!navigator.mediaDevices) {
      failed("Browsers allow the camera only on https and on this computer itself (localhost).");
      return;
    }
    dialog.showModal();
    try {
      const ideal = { width: { ideal: 1280 }, height: { ideal: 960 }, facingMode: "user" };
      const opened = await navigator.mediaDevices.getUserMedia({ video: ideal });
      if (!dialog.open) { // it was closed while the browser asked
        for (const track of opened.getTracks()) track.stop();
        return;
      }
      stream = opened;
      video.srcObject = stream;
    } catch (error) {
      dialog.close();
      failed(
        error.name === "NotAllowedError"
          ? "The browser does not allow the camera: allow it for this page, or choose a picture."
          : "There is no camera that can be used: choose a picture instead.",
      );
    }
  });
  video.addEventListener("playing", () => {
    take.disabled = false;
    take.focus();
  });
  take.addEventListener("click", () => {
    const canvas = document.createElement("canvas");
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext("2d").drawImage(video, 0, 0);
    dialog.close();
    canvas.toBlob((blob) => taken(new File([blob], "camera.jpg", { type: blob.type })), "image/jpeg", 0.95);
  });
  document.getElementById("close-camera").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", stop);
}
