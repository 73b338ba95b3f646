"""The page in a browser, for tests."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement


class BrowserPage:
    """A browser that shows the page."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return self.find(selector).text

    def image(self) -> WebElement:
        return self.find(".view img")

    def shows_image(self, kinds: str = "img, video") -> bool:
        """``kinds``: elements that may show it; with WebRTC the page changes from image to video by itself."""
        return any(
            shown.is_displayed() and (shown.get_property("naturalWidth") or shown.get_property("videoWidth"))
            for shown in self.driver.find_elements(By.CSS_SELECTOR, f".view :is({kinds})")
        )

    def screenshot(self, selector: str = ".view img") -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(self.find(selector).screenshot_as_png)).convert("RGB"), np.int16)

    def console_errors(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]
