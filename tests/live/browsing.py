"""Who looks at the page in a browser."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement


class Visitor:
    """A browser that looks at the page."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return self.find(selector).text

    def image(self) -> WebElement:
        return self.find(".view img")

    def sees_a_picture(self) -> bool:
        found = self.driver.find_elements(By.CSS_SELECTOR, ".view img")
        return any(image.get_property("naturalWidth") and image.is_displayed() for image in found)

    def grabbed(self, selector: str = ".view img") -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(self.find(selector).screenshot_as_png)).convert("RGB"), np.int16)

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]
